/**
 * CSV: Papa Parse.
 *
 * @module
 */
// @ts-types="npm:@types/papaparse@5.5.2"
export { default } from "npm:papaparse@5.7.1";

/**
 * Archives: zip.js.
 *
 * @module
 */
export * from "npm:@zip.js/zip.js@2.24.0";

/**
 * PNG encoding: ImageScript.
 *
 * @module
 */
export * from "npm:imagescript@1.3.1";

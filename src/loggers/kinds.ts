/**
 * The list of loggers: each file exports a declaration, under the name that `loggers` takes.
 *
 * @module
 */
export * from "./kinds/tensorboard.ts";

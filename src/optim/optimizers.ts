/**
 * The list of optimizers: each file exports declarations, under the names that `train.optimizer` takes.
 *
 * @module
 */
export * from "./optimizers/adam.ts";
export * from "./optimizers/sgd.ts";

/**
 * From a config to the model and the replica that trains it: the same in every process.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { createModel } from "../models/create_model.ts";
import { Replica } from "./replica.ts";

/**
 * Builds the model with its seeded initial weights, and its optimizer state.
 *
 * @param numClasses Classes of the data
 */
export function buildReplica(config: Config, numClasses: number): Replica {
  const { model: { name, weights, featureExtract, freezeBatchNorm }, train, engine, seed } = config;
  const model = createModel(name, {
    numClasses,
    seed,
    newHead: weights !== "none",
    featureExtract,
    ...(freezeBatchNorm === undefined ? {} : { freezeBatchNorm }),
  });
  return new Replica(model, { sgd: train, capture: engine.capture });
}

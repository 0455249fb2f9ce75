/**
 * From a config to the model and the replica that trains it: the same in every process.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { optimizerConfig } from "../optim/config.ts";
import { Replica } from "./replica.ts";

/** What of a run's data the model and its loss depend on. */
export interface DataFacts {
  readonly numClasses: number;
  /** Weight of each class in the loss. */
  readonly classWeights?: readonly number[];
}

/**
 * Builds the model with its seeded initial weights, and its optimizer state.
 *
 * @throws {UsageError} when the head doesn't fit the classes, or a pattern matches no parameter
 */
export function buildReplica(config: Config, { numClasses, classWeights }: DataFacts): Replica {
  const { model, train, engine, seed } = config;
  const network = createModel(model.name, {
    ...architectureOf(config),
    numClasses,
    seed,
    newHead: model.weights !== "none",
    featureExtract: model.featureExtract,
    ...(model.train ? { train: model.train } : {}),
    ...(model.freezeBatchNorm === undefined ? {} : { freezeBatchNorm: model.freezeBatchNorm }),
  });
  const { lr, groups, clipGradNorm, clipGradValue, loss, labelSmoothing, ema } = train;
  return new Replica(network, {
    optimizer: {
      settings: optimizerConfig(train),
      lr,
      groups,
      ...(clipGradNorm === undefined ? {} : { clipGradNorm }),
      ...(clipGradValue === undefined ? {} : { clipGradValue }),
    },
    loss: { loss, labelSmoothing, ...(classWeights ? { classWeights } : {}) },
    accumulationSteps: train.accumulationSteps,
    ...(ema ? { ema } : {}),
    capture: engine.capture,
  });
}

/** What of the network's shape the config leaves free, as a checkpoint keeps it. */
export function architectureOf({ model }: Config): Omit<ArchitectureOptions, "numClasses"> {
  const { head, dropout, stochasticDepth, weights } = model;
  const transformInput = model.transformInput ?? weights === "pretrained";
  return {
    ...(head ? { head } : {}),
    ...(dropout === undefined ? {} : { dropout }),
    ...(stochasticDepth === undefined ? {} : { stochasticDepth }),
    ...(transformInput ? { transformInput } : {}),
  };
}

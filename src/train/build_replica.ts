/**
 * From a config to the model and the replica that trains it: the same in every process.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { type Config, featureCacheBytes } from "../config/schema.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { findFrozenBody } from "../models/frozen_body.ts";
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
 * @throws {UsageError} when the head doesn't fit the classes, a pattern matches no parameter, or features are to
 * be kept but change
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
  const frozen = featureCacheBytes(config) > 0 && findFrozenBody(network);
  if (frozen && "obstacle" in frozen) {
    throw new UsageError(
      `train.featureCache needs a frozen body, but ${frozen.obstacle}; or remove train.featureCache`,
    );
  }
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
    call: { precision: engine.precision, xla: engine.xla },
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

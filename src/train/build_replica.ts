/**
 * Builds the model of a config and the replica that trains it: the same in every process.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { type Config, featureCacheBytes } from "../config/schema.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import type { tf } from "../engine/tf.ts";
import { importMetrics } from "../metrics/user_metrics.ts";
import { USER_MODEL } from "../models/config.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { findFrozenBody } from "../models/frozen_body.ts";
import { createUserModel } from "../models/user_model.ts";
import { optimizerConfig } from "../optim/config.ts";
import { importLoss } from "../optim/user_loss.ts";
import { Replica } from "./replica.ts";
import { judgeStateOf } from "./step_judge.ts";

/** The facts about a run's data on which the model and its loss depend. */
export interface DataFacts {
  readonly numClasses: number;
  /** Weight of each class in the loss. */
  readonly classWeights?: readonly number[] | undefined;
}

/**
 * Builds the model with its seeded initial weights, and its optimizer state.
 *
 * @throws {UsageError} when the head doesn't fit the classes, a pattern matches no parameter, features are to be
 * kept but change, or a module of the user's own isn't what it should be
 */
export async function buildReplica(
  config: Config,
  { numClasses, classWeights }: DataFacts,
): Promise<Replica> {
  const { train, validate, engine } = config;
  const loss = train.lossModule ? await importLoss(train.lossModule) : train.loss;
  const metrics = validate.metricsModule ? await importMetrics(validate.metricsModule) : [];
  const network = await buildModel(config, numClasses);
  const frozen = featureCacheBytes(config) > 0 && findFrozenBody(network);
  if (frozen && "obstacle" in frozen) {
    throw new UsageError(
      `train.featureCache needs a frozen body, but ${frozen.obstacle}; or remove train.featureCache`,
    );
  }
  const { lr, groups, clipGradNorm, clipGradValue, labelSmoothing, ema } = train;
  return new Replica(network, {
    optimizer: {
      settings: optimizerConfig(train),
      isScaled: judgeStateOf(config).lossScale !== undefined,
      lr,
      groups,
      ...(clipGradNorm === undefined ? {} : { clipGradNorm }),
      ...(clipGradValue === undefined ? {} : { clipGradValue }),
    },
    loss: { loss, labelSmoothing, ...(classWeights ? { classWeights } : {}) },
    metrics,
    accumulationSteps: train.accumulationSteps,
    microBatchSize: train.microBatchSize,
    ...(ema ? { ema } : {}),
    capture: engine.capture,
    call: { precision: engine.precision, xla: engine.xla },
  });
}

/** The network: a named architecture, or what a module of the user's own makes. */
export async function buildModel(
  config: Pick<Config, "model" | "data" | "seed">,
  numClasses: number,
): Promise<tf.LayersModel> {
  const { model: { name, module, weights, featureExtract, train, freezeBatchNorm }, seed } = config;
  const learning = {
    featureExtract,
    ...(train ? { train } : {}),
    ...(freezeBatchNorm === undefined ? {} : { freezeBatchNorm }),
  };
  if (module) {
    const inputSize = inputSizeOf(config);
    return await createUserModel(module, { numClasses, inputSize, seed, ...learning });
  }
  if (name === USER_MODEL) throw new TypeError("model.name is custom without model.module");
  return createModel(name, {
    ...architectureOf(config),
    numClasses,
    seed,
    newHead: weights !== "none",
    ...learning,
  });
}

/** Height and width of the images; `null` where those of training and validation differ. */
export function inputSizeOf(
  { data }: Pick<Config, "data">,
): [height: number | null, width: number | null] {
  const [train, val] = [outputSize(data.train)!, outputSize(data.val)!];
  return [train[0] === val[0] ? train[0] : null, train[1] === val[1] ? train[1] : null];
}

/** Returns the parts of the network's shape that the config leaves free, as a checkpoint keeps them. */
export function architectureOf(
  { model }: Pick<Config, "model">,
): Omit<ArchitectureOptions, "numClasses"> {
  const { head, dropout, stochasticDepth, weights } = model;
  const transformInput = model.transformInput ?? weights === "pretrained";
  return {
    ...(head ? { head } : {}),
    ...(dropout === undefined ? {} : { dropout }),
    ...(stochasticDepth === undefined ? {} : { stochasticDepth }),
    ...(transformInput ? { transformInput } : {}),
  };
}

/**
 * Checks that need more than one key: made before anything starts, each naming the cure.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { isHalf } from "../engine/precision.ts";
import { partsOf } from "../data/transforms/table.ts";
import { checkHosts } from "../hosts/check_hosts.ts";
import { endsInLogSoftmax } from "../models/head_specs.ts";
import { type Config, featureCacheBytes, type LoadedConfig } from "./schema.ts";

/**
 * The samples of one step over all workers.
 *
 * @throws {UsageError} when neither or both batch keys are set
 */
export function globalBatchSize({ train, workers }: Pick<Config, "train" | "workers">): number {
  requireBatchSize(train);
  return train.batchSize ?? train.batchSizePerWorker! * workers;
}

function requireBatchSize({ batchSize, batchSizePerWorker }: Config["train"]): void {
  if (batchSize !== undefined && batchSizePerWorker !== undefined) {
    throw new UsageError(
      `Both train.batchSize (${batchSize}) and train.batchSizePerWorker (${batchSizePerWorker}) are set: ` +
        "keep one of them",
    );
  }
  if (batchSize === undefined && batchSizePerWorker === undefined) {
    throw new UsageError(
      "The batch size is missing: set train.batchSize (all workers together) or train.batchSizePerWorker",
    );
  }
}

/**
 * Makes all cross-field checks.
 *
 * @throws {UsageError} naming the keys, the values and the cure
 */
export function checkConfig(config: LoadedConfig): void {
  requireBatchSize(config.train);
  checkMicroBatches(config);
  checkDevices(config);
  checkForeignServer(config);
  checkHosts(config);
  const { train } = config;
  if (train.optimizer === "sgd" && train.nesterov) {
    const { momentum, dampening } = train;
    if (momentum === 0 || dampening !== 0) {
      throw new UsageError(
        `train.nesterov needs a momentum above 0 and dampening 0, but train.momentum is ${momentum} ` +
          `and train.dampening is ${dampening}`,
      );
    }
  }
  checkLoss(config);
  checkFrozen(config);
  checkFeatureCache(config);
  checkGradientDtype(config);
  checkEngine(config);
  checkSyncBatchNorm(config);
}

/** Moments meet in the midst of a captured step, which is cut into several functions there. */
function checkSyncBatchNorm({ train, engine, workers }: LoadedConfig): void {
  if (!train.syncBatchNorm || workers === 1) return;
  const { capture, xla, precision } = engine;
  const cause = !capture
    ? "engine.capture is false: set engine.capture to true"
    : xla
    ? "engine.xla compiles a step as a whole: set engine.xla to false"
    : isHalf(precision)
    ? `engine.precision is ${precision}: set engine.precision to float32 or tf32`
    : undefined;
  if (cause === undefined) return;
  throw new UsageError(
    `train.syncBatchNorm lets moments meet in the midst of a captured step, but ${cause}, or ` +
      "train.syncBatchNorm to false",
  );
}

/** Refuses two divisions of a worker's share of a batch. */
function checkMicroBatches({ train: { accumulationSteps, microBatchSize } }: LoadedConfig): void {
  if (microBatchSize === undefined || accumulationSteps === 1) return;
  throw new UsageError(
    `Both train.accumulationSteps (${accumulationSteps}) and train.microBatchSize (${microBatchSize}) are set: keep ` +
      "one of them, since the number of passes follows from the samples of a pass",
  );
}

/** Keys about GPUs make no sense on the CPU. */
function checkDevices({ device, devices, engine: { gpuMemory } }: LoadedConfig): void {
  if (device !== "cpu") return;
  const key = devices ? "devices" : gpuMemory === undefined ? undefined : "engine.gpuMemory";
  if (key === undefined) return;
  throw new UsageError(
    `device is cpu, but ${key} is ${
      devices?.join(",") ?? gpuMemory
    }, which is about GPUs: set device to auto or gpu, or leave ` +
      `${key} out`,
  );
}

/** XLA compiles what was captured, and as it was captured. */
function checkEngine({ engine: { capture, precision, xla } }: LoadedConfig): void {
  if (xla && !capture) {
    throw new UsageError(
      "engine.xla compiles captured steps, but engine.capture is false: set engine.capture to true, or engine.xla " +
        "to false",
    );
  }
  if (isHalf(precision) && !capture) {
    throw new UsageError(
      `engine.precision ${precision} rewrites captured steps, but engine.capture is false: set engine.capture to true, ` +
        "or engine.precision to float32",
    );
  }
}

/** The loss must fit what the head gives. */
function checkLoss({ model, train }: LoadedConfig): void {
  if (train.lossModule) {
    if (train.loss === "crossEntropy") return;
    throw new UsageError(
      `Both train.loss (${train.loss}) and train.lossModule (${train.lossModule}) are set: keep one of them`,
    );
  }
  const isLog = endsInLogSoftmax(model.head);
  if (train.loss === "nll" && !isLog) {
    throw new UsageError(
      "train.loss is nll, which needs log-probabilities, but model.head doesn't end in LogSoftmax: " +
        "set train.loss to crossEntropy, or add LogSoftmax as the head's last layer",
    );
  }
  if (train.loss === "crossEntropy" && isLog) {
    throw new UsageError(
      "model.head ends in LogSoftmax, so it gives log-probabilities, but train.loss is crossEntropy, which " +
        "takes logits: set train.loss to nll, or remove LogSoftmax",
    );
  }
  if (train.loss === "nll" && train.labelSmoothing > 0) {
    throw new UsageError(
      `train.labelSmoothing is ${train.labelSmoothing}, but train.loss nll takes plain labels: ` +
        "set train.loss to crossEntropy (and remove LogSoftmax), or train.labelSmoothing to 0",
    );
  }
}

/** Refuses frozen parameters that were never trained. */
function checkFrozen({ model }: LoadedConfig): void {
  // A module of the user's own may have loaded weights itself.
  if (model.featureExtract && model.weights === "none" && !model.module) {
    throw new UsageError(
      "model.featureExtract freezes the body, but model.weights is none, so the body would stay random: " +
        "set model.weights to pretrained or to a file, or model.featureExtract to false",
    );
  }
}

/** Features can be kept only of images that are the same in each epoch. */
function checkFeatureCache(config: LoadedConfig): void {
  if (featureCacheBytes(config) === 0) return;
  const { train, mix } = config.data;
  const random = train.map(partsOf).find(({ transform }) => transform.random);
  if (random) {
    throw new UsageError(
      `train.featureCache keeps what an image gave before, but data.train has ${random.name}, which makes another ` +
        "image in each epoch: use transforms such as Resize and CenterCrop, or remove train.featureCache",
    );
  }
  if (mix.length > 0) {
    throw new UsageError(
      "train.featureCache keeps what an image gave before, but data.mix mixes it with another in each epoch: " +
        "remove data.mix or train.featureCache",
    );
  }
}

function checkForeignServer({ nats }: LoadedConfig): void {
  if (nats.url !== undefined) return;
  for (const key of ["ca", "credentials", "prefix"] as const) {
    if (nats[key] === undefined) continue;
    throw new UsageError(
      `nats.${key} is ${
        nats[key]
      }, but no server is named: set nats.url to its address, or leave out nats.${key}, since ` +
        "the server that Lockstep starts is reached on this machine alone",
    );
  }
}

/** Only what goes over NATS can be narrowed: through the broker, or between hosts whose ranks share memory. */
function checkGradientDtype({ exchange, hosts, nats: { gradientDtype } }: LoadedConfig): void {
  if (gradientDtype === "float32" || exchange === "auto" || exchange === "nats") return;
  if (exchange === "shared-memory" && hosts.count > 1) return;
  throw new UsageError(
    `nats.gradientDtype is ${gradientDtype}, but exchange is ${exchange}, where gradients stay float32: ` +
      "set exchange to nats, or nats.gradientDtype to float32",
  );
}

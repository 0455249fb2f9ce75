/**
 * Everything that can be known to be right or wrong before a worker starts: downloads, pictures, model, weights,
 * checkpoint.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { UsageError } from "../base/errors.ts";
import { globalBatchSize } from "../config/checks.ts";
import type { Config } from "../config/schema.ts";
import type { PictureSet } from "../data/picture_set.ts";
import { stepsPerEpoch } from "../data/sampler.ts";
import { type Engine, openEngine } from "../engine/engine.ts";
import { ensureDataRoot } from "../provision/data_root.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { ensureNatsServer } from "../provision/nats_server.ts";
import {
  ensurePretrainedWeights,
  isPretrainedModel,
  type WeightsVersion,
} from "../provision/pretrained_weights.ts";
import type { Reporter } from "../reports/reporter.ts";
import { buildReplica } from "../train/build_replica.ts";
import { type Job, scanData } from "../train/job.ts";
import { loadTorchWeights } from "../train/load_weights.ts";
import type { Replica } from "../train/replica.ts";
import { checkPort, checkServer } from "./broker.ts";

/** A run that is ready to start. */
export interface PreparedRun {
  readonly config: Config;
  readonly job: Job;
  readonly folder: PictureSet;
  readonly engine: Engine;
  /** The coordinator's copy of the model: never trained, only set and read. */
  readonly replica: Replica;
  readonly stepsPerEpoch: number;
  /** The nats-server program, unless another server is used. */
  readonly natsServer?: string;
}

/**
 * Prepares a run: fetches what is missing, finds the pictures, builds the model with its initial weights.
 *
 * @throws {UsageError} naming what is wrong and the cure
 */
export async function prepareRun(
  config: Config,
  { reporter, verbose = false, signal }: {
    reporter: Reporter;
    verbose?: boolean;
    signal?: AbortSignal;
  },
): Promise<PreparedRun> {
  const progress = (event: Parameters<Reporter["download"]>[0]) => reporter.download(event);
  const { data, model } = config;
  const root = await ensureDataRoot(data, progress);
  signal?.throwIfAborted();
  const folder = await scanData(root, config);
  const weights = await weightsFile(config, progress);
  const natsServer = config.nats.url ? undefined : await ensureNatsServer(progress);
  if (config.nats.url) await checkServer({ url: config.nats.url });
  else if (config.nats.port !== undefined) await checkPort(config.nats.port);
  const libraryPath = await ensureLibtensorflow(progress);
  signal?.throwIfAborted();

  const threads = { intraOp: availableParallelism(), interOp: 1 };
  const engine = await openEngine({ libraryPath, threads, verbose });
  const replica = buildReplica(config, folder.classes.length);
  if (weights) {
    const isPublished = publishedVersion(model.weights) !== undefined;
    const replaceHead = model.replaceHead ?? isPublished;
    const report = await loadTorchWeights(replica.model, weights, { replaceHead });
    const head = report.replacedHeadClasses === undefined
      ? ""
      : `; fresh last layer for ${folder.classes.length} classes instead of ${report.replacedHeadClasses}`;
    reporter.info(`Weights: ${isPublished ? "ImageNet" : weights}${head}`);
  }
  const { fingerprint } = folder;
  return {
    config,
    job: { config, root, fingerprint, numClasses: folder.classes.length, verbose },
    folder,
    engine,
    replica,
    stepsPerEpoch: stepsPerEpoch(folder.train.length, globalBatchSize(config)),
    ...(natsServer ? { natsServer } : {}),
  };
}

/** Path of the initial weights, or nothing when the run starts from scratch. */
async function weightsFile(
  { model: { name, weights } }: Config,
  progress: Parameters<typeof ensurePretrainedWeights>[1],
): Promise<string | undefined> {
  if (weights === "none") return undefined;
  const version = publishedVersion(weights);
  if (!version) return weights;
  if (!isPretrainedModel(name)) {
    throw new UsageError(
      `There are no pretrained weights for ${name}: set model.weights to none or to a file`,
    );
  }
  return await ensurePretrainedWeights(name, progress, { version });
}

/** Which of the published weights a value of `model.weights` means; `undefined` for files and `none`. */
function publishedVersion(weights: string): WeightsVersion | undefined {
  if (weights === "pretrained") return "v1";
  return weights === "pretrained-v2" ? "v2" : undefined;
}

/**
 * All checks that are possible before a worker starts: downloads, images, model, weights, checkpoint.
 *
 * @module
 */
import type { ComputeDevice } from "../../base/compute_device.ts";
import { listed } from "../../base/listing.ts";
import { basename } from "node:path";
import { nearestName, UsageError } from "../../base/errors.ts";
import { requireFileLimit } from "../../base/file_limit.ts";
import { exists } from "../../base/paths.ts";
import { type Listening, prepareListening } from "../../hosts/prepare_listening.ts";
import { featureCacheBytes } from "../../config/schema.ts";
import { recordConsent } from "../../config/consent.ts";
import type { Config } from "../../config/schema.ts";
import { checkFiles } from "../../data/datasets/check_files.ts";
import { readFileRecord, unchangedFiles } from "../../data/datasets/file_record.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";
import { outputSize } from "../../data/transforms/transform_specs.ts";
import { checkMonitor } from "../../metrics/monitor.ts";
import { importMetrics } from "../../metrics/user_metrics.ts";
import { USER_MODEL, WEIGHTS_NAMES } from "../../models/config.ts";
import { ensurePretrainedWeights } from "../../models/pretrained_weights.ts";
import { ARCHITECTURES, isPretrainedModel } from "../../models/registry.ts";
import { checkPrecision } from "../../engine/precision.ts";
import { type Engine, openEngineOnCpu } from "../../engine/engine.ts";
import { soleProcessThreads } from "../../engine/threads.ts";
import type { LoadReport } from "../../models/state_dict.ts";
import { balancedWeights } from "../../optim/loss.ts";
import { checkRates, checkSchedule } from "../../optim/schedule.ts";
import { serverAddress } from "../../protocol/server_address.ts";
import { foreignServer } from "./cluster_settings.ts";
import { ensureDataRoot } from "../../provision/data_root.ts";
import { ensureLibtensorflow } from "../../provision/libtensorflow.ts";
import { ensureNatsServer } from "../../provision/nats_server.ts";
import { type Progress, progressUntil } from "../../provision/progress.ts";
import type { WeightsVersion } from "../../provision/published_weights.ts";
import type { Reporter } from "../../events/reporter.ts";
import { buildReplica } from "../../train/build_replica.ts";
import { type Job, scanData } from "../../train/job.ts";
import { loadTorchWeights } from "../../train/load_weights.ts";
import { hashModules } from "../../train/modules.ts";
import type { Replica } from "../../train/replica.ts";
import { RunPlan } from "../../train/run_plan.ts";
import { dryRun } from "../../train/dry_run.ts";
import { checkServer } from "../../protocol/check_server.ts";
import { checkPort } from "../../hosts/broker.ts";
import type { DecidedRun } from "./decide_devices.ts";
import { checkGpuMemory } from "./check_gpu_memory.ts";
import { checkSingleValues } from "./check_single_values.ts";

/** A run that is ready to start. */
export interface PreparedRun {
  readonly config: Config;
  readonly job: Job;
  readonly dataset: ImageSet;
  /** Workers of each host, in order; this one is the first. */
  readonly layout: readonly number[];
  /** One per worker of this host, in the order of the ranks. */
  readonly devices: readonly ComputeDevice[];
  /** The coordinator's own, without GPUs; the workers open the same library. */
  readonly engine: Engine;
  /** The coordinator's copy of the model: never trained, only written and read. */
  readonly replica: Replica;
  readonly plan: RunPlan;
  /** Names of the user-defined metrics. */
  readonly metrics: readonly string[];
  /** The nats-server program; `undefined` if another server is used. */
  readonly natsServer?: string;
  /** All that the server needs to let other hosts in, where the run has any. */
  readonly listening?: Listening;
}

/** Options of the preparation of a run. */
export interface PrepareOptions {
  readonly reporter: Pick<Reporter, "info" | "warn" | "download">;
  readonly verbose?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** True for a resumed run: checks of its initial state are skipped, and no initial weights are loaded. */
  readonly resuming?: boolean;
  /** A run folder in whose record all images were found to be usable: those that are unchanged aren't looked at again. */
  readonly usableIn?: string | undefined;
}

/**
 * Prepares a run: downloads missing files, finds the images, builds the model with its initial weights.
 *
 * @throws {UsageError} naming what is wrong and the cure
 */
export async function prepareRun(
  { config, layout, devices, build, warnings }: DecidedRun,
  options: PrepareOptions,
): Promise<PreparedRun> {
  const { reporter, verbose = false, signal, resuming = false } = options;
  const progress = progressUntil(signal, (event) => reporter.download(event));
  requireFileLimit(config.workers);
  warnings.forEach((warning) => reporter.warn(warning));
  const gpus = devices.filter((device) => device.kind === "gpu");
  const slow = checkPrecision(config.engine.precision, gpus);
  if (slow !== undefined) reporter.warn(slow);
  checkImageSize(config);
  const modules = await hashModules(config);
  const unrecorded = await recordConsent(config, modules);
  if (unrecorded) reporter.warn(unrecorded);
  const { root, dataset } = await prepareDataset(config, progress, options);
  const metrics = await metricNames(config);
  const weights = resuming ? undefined : await weightsFile(config, progress);
  const natsServer = await prepareServer(config, progress);
  const listening = await prepareHosts(config, options.reporter);
  const libraryPath = await ensureLibtensorflow(progress, build);
  signal?.throwIfAborted();
  const engine = await openEngineOnCpu({ libraryPath, threads: soleProcessThreads(), verbose });
  signal?.throwIfAborted();
  const plan = planRun(config, dataset);
  checkRun(config, plan);
  const classWeights = resolveClassWeights(config.train.classWeights, dataset);
  const facts = { numClasses: dataset.classes.length, ...(classWeights ? { classWeights } : {}) };
  const replica = await buildReplica(config, facts);
  if (weights) await loadInitialWeights(replica, config, weights, { reporter, ...facts });
  await dryRun(replica, config);
  if (!resuming) checkSingleValues(config, replica.model, plan);
  const large = checkGpuMemory(config, replica, plan, devices);
  if (large !== undefined) reporter.warn(large);
  replica.state.resetAverages();
  const { fingerprint } = dataset;
  return {
    config,
    job: { config, root, fingerprint, ...facts, modules, verbose },
    dataset,
    layout,
    devices,
    engine,
    replica,
    plan,
    metrics,
    ...(natsServer ? { natsServer } : {}),
    ...(listening ? { listening } : {}),
  };
}

/** Downloads missing images, then finds and checks all images. */
async function prepareDataset(
  config: Config,
  progress: Progress,
  { reporter, signal, usableIn }: PrepareOptions,
): Promise<{ root: string; dataset: ImageSet }> {
  const root = await ensureDataRoot(config.data, progress);
  signal?.throwIfAborted();
  const dataset = await scanData(root, config);
  dataset.warnings?.forEach((warning) => reporter.warn(warning));
  const { onError } = config.data;
  const known = usableIn === undefined ? undefined : await unchangedSince(usableIn, dataset);
  const leftOut = await checkFiles(dataset, { onError, signal, known });
  if (leftOut) reporter.warn(leftOut);
  checkSamples(config, dataset);
  return { root, dataset };
}

/** The rows of the files that are as in a run's record. */
async function unchangedSince(
  folder: string,
  { files }: ImageSet,
): Promise<Uint8Array | undefined> {
  const record = files && await readFileRecord(folder);
  return record && await unchangedFiles(record, files);
}

/** Checks the server that the config names; without one, returns the nats-server program. */
async function prepareServer(
  { nats }: Config,
  progress: Progress,
): Promise<string | undefined> {
  const foreign = foreignServer(nats);
  const natsServer = foreign ? undefined : await ensureNatsServer(progress);
  if (foreign) await checkServer(await serverAddress(foreign));
  else if (nats.port !== undefined) await checkPort(nats.port);
  return natsServer;
}

/** Prepares the server that other hosts join, where the run has any. */
async function prepareHosts(
  { hosts }: Config,
  reporter: Pick<Reporter, "info">,
): Promise<Listening | undefined> {
  const { count, listen } = hosts;
  if (count === 1 || listen === undefined) return undefined;
  const listening = await prepareListening({ ...hosts, listen });
  if (listening.isNewToken) {
    reporter.info(
      `Token for other hosts: ${listening.tokenFile} (copy it to each of them, for its user alone to read)`,
    );
  }
  return listening;
}

/** Checks schedule and learning rates, which depend on the run's length. */
function checkRun({ train: { schedule, lr, groups } }: Config, plan: RunPlan): void {
  checkSchedule(schedule, plan);
  checkRates(schedule, [lr, ...groups.flatMap((group) => group.lr ?? [])], plan);
}

/** Loads the initial weights and describes them. */
async function loadInitialWeights(
  { model: network }: Replica,
  { model }: Config,
  path: string,
  { reporter, numClasses }: { reporter: Pick<Reporter, "info">; numClasses: number },
): Promise<void> {
  const isPublished = publishedVersion(model.weights) !== undefined;
  const replaceHead = model.replaceHead ?? isPublished;
  const report = await loadTorchWeights(network, path, { replaceHead });
  const notes = (report.notes ?? []).map((note) => `; ${note}`).join("");
  reporter.info(
    `Weights: ${isPublished ? "ImageNet" : path}${notes}${describeFresh(report, numClasses)}`,
  );
}

/**
 * Refuses images that are too small for the network's strides.
 *
 * @throws {UsageError} naming the transforms' size and the smallest side
 */
function checkImageSize({ model: { name }, data }: Config): void {
  if (name === USER_MODEL) return; // its module is told the size
  const { minSize, minTrainingSize = minSize, inputSize } = ARCHITECTURES[name];
  for (const part of ["train", "val"] as const) {
    const size = outputSize(data[part]);
    const least = part === "train" ? minTrainingSize : minSize;
    if (!size || Math.min(...size) >= least) continue;
    throw new UsageError(
      `data.${part} makes images of ${
        size.join(" × ")
      } pixels, but ${name} needs at least ${least} ` +
        `(its weights were made for ${inputSize}): enlarge them with { Resize: [${inputSize}, ${inputSize}] }`,
    );
  }
}

/**
 * Names of the user-defined metrics.
 *
 * @throws {UsageError} when the monitored metric is not among them
 */
async function metricNames({ validate, train, checkpoint }: Config): Promise<string[]> {
  const { metricsModule } = validate;
  const names = metricsModule ? (await importMetrics(metricsModule)).map(({ name }) => name) : [];
  checkMonitor({ metric: checkpoint.monitor }, "checkpoint.monitor", names);
  const { earlyStopping } = train;
  if (earlyStopping) checkMonitor(earlyStopping, "train.earlyStopping.metric", names);
  return names;
}

/** Refuses settings that a data module's samples can't be used with. */
function checkSamples(config: Config, { inOrder, train }: ImageSet): void {
  const { data, train: { classWeights } } = config;
  if (inOrder && data.mix.length > 0) {
    throw new UsageError(
      `data.mix needs images in any order, but ${data.module} gives a stream: remove data.mix, or give ` +
        "samples by index",
    );
  }
  if (inOrder && featureCacheBytes(config) > 0) {
    throw new UsageError(
      `train.featureCache needs a sample to be the same in each epoch, but ${data.module} gives a stream: ` +
        "remove train.featureCache, or give samples by index",
    );
  }
  if (classWeights === "balanced" && train.some(({ label }) => label < 0)) {
    throw new UsageError(
      `train.classWeights is balanced, but ${data.module} doesn't say the labels of its training samples at the ` +
        "start: give train.labels there, or weights by class here",
    );
  }
}

/** Describes the weights that were not loaded, for messages. */
function describeFresh({ freshHeads, replacedHeadClasses }: LoadReport, classes: number): string {
  if (!freshHeads) return "";
  const instead = replacedHeadClasses === undefined || replacedHeadClasses === classes
    ? ""
    : ` for ${classes} classes instead of ${replacedHeadClasses}`;
  return `; fresh last layer${freshHeads.length > 1 ? "s" : ""} (${
    freshHeads.join(", ")
  })${instead}`;
}

/**
 * Plans a run.
 *
 * @throws {UsageError} when `train.dropLast` leaves no step in an epoch
 */
function planRun(config: Config, dataset: ImageSet): RunPlan {
  const plan = new RunPlan(config, dataset);
  const { length, globalBatch } = plan.training;
  if (plan.stepsPerEpoch > 0 || length === 0) return plan;
  throw new UsageError(
    `train.dropLast leaves out the last batch where it is smaller, which here is the only one: there are ${length} ` +
      `training images for a batch size of ${globalBatch}; set train.dropLast to false, or a smaller batch size`,
  );
}

/**
 * Returns the loss weight of each class, in the order of the classes.
 *
 * @throws {UsageError} when weights are missing, too many, or for an unknown class
 */
export function resolveClassWeights(
  weights: Config["train"]["classWeights"],
  dataset: Pick<ImageSet, "classes" | "train"> & Partial<Pick<ImageSet, "val">>,
): number[] | undefined {
  const resolved = weightsByClass(weights, dataset);
  if (!resolved) return undefined;
  for (const part of ["train", "val"] as const) {
    const samples = dataset[part] ?? [];
    // A label below 0 is known only when its sample is made.
    if (samples.length === 0 || samples.some(({ label }) => label < 0 || resolved[label] > 0)) {
      continue;
    }
    const what = part === "train" ? "training" : "validation";
    throw new UsageError(
      `train.classWeights is 0 for every class that has ${what} samples, so there is no ${what} loss: give a weight ` +
        "above 0 to one of them",
    );
  }
  return resolved;
}

function weightsByClass(
  weights: Config["train"]["classWeights"],
  { classes, train }: Pick<ImageSet, "classes" | "train">,
): number[] | undefined {
  if (weights === undefined) return undefined;
  if (weights === "balanced") {
    const counts = classes.map(() => 0);
    for (const { label } of train) counts[label]++;
    const empty = classes.filter((_, label) => counts[label] === 0);
    if (empty.length > 0) {
      throw new UsageError(
        `train.classWeights is balanced, but ${
          listed(empty)
        } has no training samples to be balanced by: give ` +
          "weights by class",
      );
    }
    return balancedWeights(counts);
  }
  if (Array.isArray(weights)) {
    if (weights.length === classes.length) return weights;
    throw new UsageError(
      `train.classWeights has ${weights.length} weights, but there are ${classes.length} classes ` +
        `(${listed(classes)}): give one for each`,
    );
  }
  const known = new Set(classes);
  const unknown = Object.keys(weights).find((name) => !known.has(name));
  if (unknown !== undefined) {
    const nearest = nearestName(unknown, classes);
    throw new UsageError(
      `train.classWeights: there is no class "${unknown}": ` +
        (nearest ? `did you mean ${nearest}?` : `the classes are ${listed(classes)}`),
    );
  }
  return classes.map((name) => Object.hasOwn(weights, name) ? weights[name] : 1);
}

/** Path of the initial weights; `undefined` when the run starts from scratch. */
async function weightsFile(
  { model: { name, weights } }: Config,
  progress: Parameters<typeof ensurePretrainedWeights>[1],
): Promise<string | undefined> {
  if (weights === "none") return undefined;
  const version = publishedVersion(weights);
  if (!version) {
    const nearest = await exists(weights)
      ? undefined
      : nearestName(basename(weights), WEIGHTS_NAMES);
    if (nearest === undefined) return weights;
    throw new UsageError(
      `model.weights: there is no file ${weights}: did you mean ${nearest}?`,
    );
  }
  if (!isPretrainedModel(name)) {
    throw new UsageError(
      `There are no pretrained weights for ${name}: set model.weights to none or to a file`,
    );
  }
  return await ensurePretrainedWeights(name, progress, { version });
}

/** Returns the published weights that a value of `model.weights` names; `undefined` for files and `none`. */
function publishedVersion(weights: string): WeightsVersion | undefined {
  if (weights === "pretrained") return "v1";
  return weights === "pretrained-v2" ? "v2" : undefined;
}

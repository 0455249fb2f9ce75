/**
 * Lockstep: distributed data-parallel training of image classifiers on Deno and TensorFlow.
 *
 * This module is the only stable surface; everything under `src/` may change.
 *
 * @example
 * ```ts
 * import { loadConfig, openEngine, predict, train } from "@lockstep/lockstep";
 *
 * const { folder, history } = await train(await loadConfig("recipe.yaml"));
 * console.log(`Accuracy ${history.best.accuracy} in ${history.epochs.length} epochs`);
 *
 * await openEngine();
 * for await (const result of predict(folder, ["photos/val"])) console.log(result);
 * ```
 *
 * @module
 */
import { type CompareOptions, type CompareResult, compareVariants } from "./src/compare/compare.ts";
import { variantsOf } from "./src/compare/variants.ts";
import { validateConfig } from "./src/config/load.ts";
import { loadConfig as load } from "./src/config/load.ts";
import type { Override } from "./src/config/override.ts";
import type { ConfigInput } from "./src/config/input.ts";
import { type Engine, type EngineOptions, openEngine as open } from "./src/engine/engine.ts";
import { train as run, type TrainOptions, type TrainResult } from "./src/coordinator/run.ts";

export { InterruptedError, LockstepError, UsageError } from "./src/base/errors.ts";
export type * from "./src/config/input.ts";
export { type Override, parseOverride } from "./src/config/override.ts";
export {
  type DataFormat,
  DATASET_NAMES,
  type DatasetName,
} from "./src/provision/dataset_catalogue.ts";
export type { Callbacks, Decision, StepInfo } from "./src/coordinator/callbacks.ts";
export {
  type CompareOptions,
  type CompareResult,
  type CompareRunOptions,
  resumeComparison,
} from "./src/compare/compare.ts";
export type { TrainOptions, TrainResult } from "./src/coordinator/run.ts";
export type { Engine, EngineOptions } from "./src/engine/engine.ts";
export type { HeadLayer } from "./src/models/head_specs.ts";
export type { Device, Threads } from "./src/engine/binding/runtime.ts";
export type { LayersModel, Tensor, Tensor1D, Tensor2D, TensorFlow } from "./src/engine/tf.ts";
export { EngineError, type StatusCode } from "./src/engine/binding/status.ts";
export { MODEL_NAMES, type ModelName } from "./src/models/registry.ts";
export {
  type ArchitectureOptions,
  createModel,
  type LearningOptions,
  type ModelOptions,
} from "./src/models/create_model.ts";
export type { CreateUserModel, UserModelOptions } from "./src/models/user_model.ts";
export type { TransformInput } from "./src/data/transforms/transform_specs.ts";
export type {
  CreateDataset,
  Dataset,
  DatasetOptions,
  DatasetSample,
  IndexedSamples,
  SampleContext,
  Split,
  StreamContext,
  StreamedSamples,
} from "./src/data/datasets/user_dataset.ts";
export type { PixelImage } from "./src/data/datasets/user_image.ts";
export type { MetricInputs, SumAndCount, UserMetric } from "./src/metrics/user_metrics.ts";
export type { LossTargets, UserLoss } from "./src/optim/user_loss.ts";
export type { LoggerStart, OpenLogger, RunLogger } from "./src/loggers/logger.ts";
export type { Calibration, ReliabilityBin } from "./src/metrics/calibration.ts";
export type { ClassAccuracy, ConfusionRecord } from "./src/metrics/confusion.ts";
export type { ClassScores, MeanScores } from "./src/metrics/per_class.ts";
export type { ClassificationReport } from "./src/metrics/report.ts";
export type { LoadReport } from "./src/models/state_dict.ts";
export {
  type CompareReporter,
  type RunPlace,
  type TerminalCompareOptions,
  terminalCompareReporter,
} from "./src/compare/compare_reporter.ts";
export type { ComparedRun, ComparedVariant, Comparison } from "./src/compare/comparison.ts";
export type {
  BestEpoch,
  EpochRecord,
  History,
  LossPoint,
  ValidationPoint,
} from "./src/records/history.ts";
export type { RecoveryPolicy, RecoveryRecord } from "./src/records/recovery_record.ts";
export type { GpuUse, MetricsPoint, RankMetrics } from "./src/records/metrics_log.ts";
export type { StepPart, StepTimes } from "./src/base/step_times.ts";
export type { Prediction } from "./src/records/predictions.ts";
export type {
  DownloadEvent,
  Phase,
  PhaseProgress,
  Reporter,
  Summary,
} from "./src/events/reporter.ts";
export {
  terminalReporter,
  type TerminalReporterOptions,
} from "./src/terminal/terminal_reporter.ts";
export type { TerminalStream } from "./src/terminal/terminal_stream.ts";
export type {
  CheckpointInfo,
  CheckpointModel,
  HistoryMark,
  LossScaleFacts,
  NonFiniteStepCounts,
  PendingSums,
  TrainTotals,
} from "./src/checkpoint/checkpoint.ts";
export {
  type ExportFormat,
  type ExportOptions,
  type ExportReport,
  exportRun,
} from "./src/export/export_run.ts";
export { evaluate, type EvaluateOptions, type Evaluation } from "./src/inference/evaluate.ts";
export {
  type ClassProbability,
  type ImagePrediction,
  /** Earlier name of {@linkcode ImagePrediction}. */
  type ImagePrediction as PicturePrediction,
  predict,
  type PredictOptions,
} from "./src/inference/predict.ts";
export {
  loadCheckpoint,
  type LoadCheckpointOptions,
  type LoadedCheckpoint,
} from "./src/inference/load_checkpoint.ts";
export { loadTorchWeights, type LoadWeightsOptions } from "./src/train/load_weights.ts";

/** Never called: so Deno fetches and locks the programs that this library starts together with it. */
const _PROGRAMS = [
  () => import("./workers/compare_run.ts"),
  () => import("./workers/train_worker.ts"),
  () => import("./workers/warm_up.ts"),
  () => import("./src/protocol/heartbeat_thread.ts"),
  () => import("./src/data/loading/loader_thread.ts"),
  () => import("./src/engine/kernel_thread.ts"),
];

/**
 * Trains by a config: fetches what is missing, starts broker and workers, trains and validates, and leaves a
 * run folder with checkpoints, history and pictures.
 *
 * @example
 * ```ts
 * import { train } from "@lockstep/lockstep";
 *
 * const transforms = [
 *   { CenterCrop: 24 },
 *   { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } },
 * ];
 * const { folder, history } = await train({
 *   name: "photos",
 *   workers: 2,
 *   model: { name: "plain_cnn", weights: "none" },
 *   data: {
 *     root: "photos", // photos/train/<class>/*.jpg and photos/val/<class>/*.jpg
 *     train: ["RandomHorizontalFlip", ...transforms],
 *     val: transforms,
 *   },
 *   train: { epochs: 2, batchSize: 8, lr: 0.02 },
 * });
 * console.log(`${folder}: accuracy ${history.best.accuracy}`);
 * ```
 *
 * @param config As in a YAML file; keys with a default may be left out. {@linkcode loadConfig} reads a file
 * @param options Reporter, resume, signal; nothing is printed unless a reporter is given
 * @throws {UsageError} for what is wrong before the start: a key, the data, the weights
 * @throws {LockstepError} for what goes wrong on the way; the last checkpoint stays whole
 * @throws {InterruptedError} after an orderly stop by `options.signal`
 */
export async function train(config: ConfigInput, options: TrainOptions = {}): Promise<TrainResult> {
  return await run(validateConfig(config), options);
}

/**
 * Reads a config file, puts overrides over it and checks it.
 *
 * @example
 * ```ts
 * import { loadConfig } from "@lockstep/lockstep";
 *
 * const config = await loadConfig("recipe.yaml", [{ key: "train.epochs", value: 3 }]);
 * console.log(config.train.epochs, config.workers);
 * ```
 *
 * @param path YAML file; relative paths in it count from its folder
 * @param overrides Applied in order, over the file's values; their relative paths count from the working directory
 * @param options `onNote` gets a sentence for each choice of the overrides, such as another optimizer, that leaves keys of
 * the file out
 * @returns The config with every default filled in
 * @throws {UsageError} when the file can't be read or parsed, or a key or value is wrong
 */
export async function loadConfig(
  path: string,
  overrides: Override[] = [],
  { onNote }: { readonly onNote?: (note: string) => void } = {},
): Promise<ConfigInput> {
  return await load(path, overrides, onNote ? { onNote } : {});
}

/**
 * Opens TensorFlow behind the API of TensorFlow.js; later calls give the same engine. Models can be made and run only
 * after that.
 *
 * @example
 * ```ts
 * import { openEngine } from "@lockstep/lockstep";
 *
 * const { tensorflowVersion, hasGpu } = await openEngine({ device: "auto" });
 * console.log(`TensorFlow ${tensorflowVersion} on a ${hasGpu ? "GPU" : "CPU"}`);
 * ```
 *
 * @throws {UsageError} when libtensorflow is missing or doesn't load
 */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  return await open(options);
}

/**
 * Trains several configs, each in processes of its own, and leaves a folder with their validation accuracies as a
 * table and as a picture. A run that fails doesn't keep the others from finishing: see its `status`.
 *
 * @example
 * ```ts
 * import { compare, loadConfig } from "@lockstep/lockstep";
 *
 * const config = await loadConfig("recipe.yaml");
 * const { folder, comparison } = await compare({
 *   Large: { ...config, train: { ...config.train, lr: 0.05 } },
 *   Small: { ...config, train: { ...config.train, lr: 0.005 } },
 * });
 * console.log(`${folder}/comparison.png`, comparison.variants[0].runs[0].epochs);
 * ```
 *
 * @param variants Configs by their names in the legend
 * @param options Seeds, runs at a time, reporter, signal
 * @throws {UsageError} for what is wrong before the start; {@linkcode resumeComparison} goes on after an interruption
 * @throws {InterruptedError} after an orderly stop by `options.signal`
 */
export async function compare(
  variants: Readonly<Record<string, ConfigInput>>,
  options: CompareOptions = {},
): Promise<CompareResult> {
  return await compareVariants(variantsOf(variants), options);
}

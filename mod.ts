/**
 * Lockstep: distributed data-parallel training of image classifiers on Deno and TensorFlow.
 *
 * This module is the only stable surface; everything under `src/` may change.
 *
 * @example
 * ```ts
 * import { train } from "./mod.ts";
 *
 * async function fineTune(pictures: string) {
 *   const { folder, history } = await train({
 *     name: "my-pictures",
 *     workers: 2,
 *     model: { name: "efficientnet_lite0", featureExtract: true },
 *     data: {
 *       root: pictures,
 *       train: [{ RandomResizedCrop: 160 }, "RandomHorizontalFlip"],
 *       val: [{ Resize: 176 }, { CenterCrop: 160 }],
 *     },
 *     train: { epochs: 5, batchSize: 12, lr: 0.01 },
 *   });
 *   console.log(folder, history.best.accuracy);
 * }
 * ```
 *
 * @module
 */
import { type CompareOptions, type CompareResult, compareVariants } from "./src/compare/compare.ts";
import { variantsOf } from "./src/compare/variants.ts";
import { validateConfig } from "./src/config/load.ts";
import type { ConfigInput } from "./src/config/schema.ts";
import { train as run, type TrainOptions, type TrainResult } from "./src/coordinator/run.ts";

export { InterruptedError, LockstepError, UsageError } from "./src/base/errors.ts";
export {
  type CompareOptions,
  type CompareResult,
  type CompareRunOptions,
  resumeComparison,
} from "./src/compare/compare.ts";
export { loadConfig, type Override, parseOverride } from "./src/config/load.ts";
export type { Config, ConfigInput } from "./src/config/schema.ts";
export type { TrainOptions, TrainResult } from "./src/coordinator/run.ts";
export { type Engine, type EngineOptions, openEngine } from "./src/engine/engine.ts";
export type { Device, Threads } from "./src/engine/runtime.ts";
export { EngineError, type StatusCode } from "./src/engine/status.ts";
export { MODEL_NAMES, type ModelName } from "./src/models/config.ts";
export { createModel, type ModelOptions } from "./src/models/create_model.ts";
export type { TransformInput } from "./src/data/transform_specs.ts";
export type { LoggerStart, OpenLogger, RunLogger } from "./src/loggers/logger.ts";
export type { Calibration, ReliabilityBin } from "./src/metrics/calibration.ts";
export type { ClassAccuracy, ConfusionMatrix } from "./src/metrics/confusion.ts";
export type { ClassScores, MeanScores } from "./src/metrics/per_class.ts";
export type { ClassificationReport } from "./src/metrics/report.ts";
export type { LoadReport } from "./src/models/state_dict.ts";
export {
  type CompareReporter,
  type RunPlace,
  type TerminalCompareOptions,
  terminalCompareReporter,
} from "./src/reports/compare_reporter.ts";
export type { ComparedRun, ComparedVariant, Comparison } from "./src/reports/comparison.ts";
export type { EpochRecord, History, ValidationPoint } from "./src/records/history.ts";
export type { MetricsPoint, RankMetrics } from "./src/records/metrics_log.ts";
export type { Prediction } from "./src/reports/predictions.ts";
export type {
  DownloadEvent,
  Phase,
  PhaseProgress,
  Reporter,
  Summary,
} from "./src/reports/reporter.ts";
export { terminalReporter, type TerminalReporterOptions } from "./src/reports/terminal_reporter.ts";
export type { CheckpointInfo } from "./src/train/checkpoint.ts";
export { evaluate, type EvaluateOptions, type Evaluation } from "./src/train/evaluate.ts";
export {
  type ClassProbability,
  type PicturePrediction,
  predict,
  type PredictOptions,
} from "./src/train/predict.ts";
export { loadCheckpoint, type LoadedCheckpoint } from "./src/train/load_checkpoint.ts";
export { loadTorchWeights, type LoadWeightsOptions } from "./src/train/load_weights.ts";

/**
 * Trains by a config: fetches what is missing, starts broker and workers, trains and validates, and leaves a
 * run folder with checkpoints, history and pictures.
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
 * Trains several configs, each in processes of its own, and leaves a folder with their validation accuracies as a
 * table and as a picture. A run that fails doesn't keep the others from finishing: see its `status`.
 *
 * @example
 * ```ts
 * import { compare, type ConfigInput } from "./mod.ts";
 *
 * async function pretrainedOrNot(config: ConfigInput) {
 *   const { model } = config;
 *   const { folder, comparison } = await compare({
 *     Pretrained: { ...config, model: { ...model, weights: "pretrained" } },
 *     Scratch: { ...config, model: { ...model, weights: "none", featureExtract: false } },
 *   }, { repeats: 3 });
 *   console.log(`${folder}/comparison.png`, comparison.variants[0].runs[0].epochs);
 * }
 * ```
 *
 * @param variants Configs by what they are called in the legend
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

/**
 * The history of a run: loss and accuracy per epoch, as `history.json` and `history.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { csvText } from "../base/csv.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { jsonPieces } from "../base/json_pieces.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { readRegularFile, readRegularText } from "../base/regular_file.ts";
import { linesOf, parseLine } from "./jsonl_file.ts";
import { type RecoveryRecord, recoverySchema } from "./recovery_record.ts";

/** Name of the history in a run folder. */
export const HISTORY_FILE = "history.json";
/** The lines that the history has gained since `history.json` was written; absent in short runs. */
export const HISTORY_LOG_FILE = "history.jsonl";

const HISTORY_VERSION = 2;

/** JSON has no NaN: a non-finite loss is written as `null` and read back as NaN. */
const measured = z.number().nullable().transform((value) => value ?? NaN);
const count = z.int().nonnegative();

/** Metrics of the user's own by name. */
const metrics = z.record(z.string(), measured).optional();

/** One epoch of a history, as it is written. */
export const epochSchema = z.object({
  /** Counted from 1. */
  epoch: z.int().positive(),
  learningRate: z.number(),
  /** Means over the epoch's samples, taken while the parameters moved; accuracy in 0 … 1. */
  train: z.object({ loss: measured, accuracy: measured }),
  /** Means over the whole validation set after the epoch, and its number of samples. */
  validation: z.object({ loss: measured, accuracy: measured, count }),
  /** Metrics of the user's own over the validation set, by name. */
  metrics,
  /** Wall time of training and validation together. */
  seconds: z.number().nonnegative(),
  /** Training images over the seconds of training, all workers together. */
  imagesPerSecond: z.number().nonnegative(),
  /** Steps that were skipped because gradients overflowed, where losses are scaled (float16). */
  skippedSteps: count.optional(),
  /** Steps that were skipped because loss or gradients were not finite, where such steps may be. */
  nonFiniteSteps: count.optional(),
});

/** The position of a point. */
const pointShape = {
  /** Training images that were seen up to here, over all epochs. */
  examples: count,
  /** Counted from 1. */
  epoch: count,
  /** Steps of the epoch that are done. */
  step: count,
};

const lossPointSchema = z.object({
  ...pointShape,
  /** Mean over the samples since the point before. */
  loss: measured,
});

const validationPointSchema = z.object({
  ...pointShape,
  loss: measured,
  accuracy: measured,
  metrics,
});

const bestSchema = z.object({
  /** The epoch of the best validation accuracy; 0 while none is finished. */
  epoch: z.int().nonnegative(),
  accuracy: measured,
  /** Class names in the order of the labels. */
  classes: z.array(z.string()).optional(),
  perClassAccuracy: z.array(z.object({ class: z.string(), accuracy: measured, count }))
    .optional(),
  /** Samples by true class (row) and predicted class (column). */
  confusionMatrix: z.array(z.array(count)).optional(),
  /** With more than 256 classes: true class, predicted class and samples of each cell that is not 0. */
  confusions: z.array(z.tuple([count, count, count])).optional(),
  /** The epoch of `checkpoints/best` while that epoch is repeated. */
  kept: z.object({ epoch: count, accuracy: measured }).optional(),
});

/** A key of the config that changed when the run was resumed. */
const changeSchema = z.object({
  /** The position of the run. */
  epoch: count,
  step: count,
  key: z.string(),
  before: z.unknown(),
  after: z.unknown(),
});

const stoppedSchema = z.object({ epoch: count, step: count, reason: z.string() });

const historySchema = z.object({
  /** Version of the file; 1, which had none, knew only the dense matrix. */
  historyVersion: z.literal(HISTORY_VERSION).optional(),
  /** Of a long history in progress: the first line of the `history.jsonl` that goes on from here. */
  log: z.string().optional(),
  /** The resolved config of the run. */
  config: z.record(z.string(), z.unknown()),
  epochs: z.array(epochSchema),
  /** The training loss, point by point. */
  losses: z.array(lossPointSchema).default([]),
  /** All validations: before the first step, within epochs and after each. */
  validations: z.array(validationPointSchema).default([]),
  best: bestSchema,
  workers: z.int().positive(),
  changes: z.array(changeSchema).optional(),
  /** Recoveries from lost workers, oldest first. */
  recoveries: z.array(recoverySchema).optional(),
  /** Position and reason of an end before the last epoch, by early stopping or at a callback's request. */
  stopped: stoppedSchema.optional(),
});

/** A line of `history.jsonl`: what a history has gained since the line before. */
const historyGainSchema = z.object({
  epochs: z.array(epochSchema),
  losses: z.array(lossPointSchema),
  validations: z.array(validationPointSchema),
  best: bestSchema.optional(),
  stopped: stoppedSchema.optional(),
  recoveries: z.array(recoverySchema).optional(),
});

/** The results of one epoch. */
export interface EpochRecord {
  /** Counted from 1. */
  epoch: number;
  /** Of the epoch's last step. */
  learningRate: number;
  /** Means over the epoch's samples, taken while the parameters moved; accuracy in 0 … 1. */
  train: { loss: number; accuracy: number };
  /** Means over the whole validation set after the epoch, and its number of samples. */
  validation: { loss: number; accuracy: number; count: number };
  /** Metrics of the user's own over the validation set, by name. */
  metrics?: Record<string, number> | undefined;
  /** Wall time of training and validation together. */
  seconds: number;
  /** Training images over the seconds of training, all workers together. */
  imagesPerSecond: number;
  /** Steps that were skipped because gradients overflowed, where losses are scaled (float16). */
  skippedSteps?: number | undefined;
  /** Steps that were skipped because loss or gradients were not finite, where such steps may be. */
  nonFiniteSteps?: number | undefined;
}

/** A point of the training loss. */
export interface LossPoint {
  /** Training images that were seen up to here, over all epochs. */
  examples: number;
  /** Counted from 1. */
  epoch: number;
  /** Steps of the epoch that are done. */
  step: number;
  /** Mean over the samples since the point before. */
  loss: number;
}

/** A validation. */
export interface ValidationPoint extends LossPoint {
  /** Share of the samples whose class has the highest logit, 0 … 1. */
  accuracy: number;
  /** Metrics of the user's own, by name. */
  metrics?: Record<string, number> | undefined;
}

/** The results of the best epoch so far. */
export interface BestEpoch {
  /** 0 while none is finished. */
  epoch: number;
  /** Of its validation, 0 … 1. */
  accuracy: number;
  /** Class names in the order of the labels. */
  classes?: string[] | undefined;
  /** Accuracy and number of samples of each class. */
  perClassAccuracy?: { class: string; accuracy: number; count: number }[] | undefined;
  /** Samples by true class (row) and predicted class (column). */
  confusionMatrix?: number[][] | undefined;
  /** With more than 256 classes: true class, predicted class and samples of each cell that is not 0. */
  confusions?: [label: number, predicted: number, count: number][] | undefined;
  /**
   * The epoch that `checkpoints/best` and `predictions.csv` hold after the run was resumed from before it. The epoch is
   * repeated; until another one is the best, those files are of its first pass.
   */
  kept?: { epoch: number; accuracy: number } | undefined;
}

/** The results of a run so far. */
export interface History {
  /** The resolved config of the run. */
  config: Record<string, unknown>;
  /** Epoch by epoch. */
  epochs: EpochRecord[];
  /** The training loss, point by point. */
  losses: LossPoint[];
  /** All validations: before the first step, within epochs and after each. */
  validations: ValidationPoint[];
  /** The best epoch, by `checkpoint.monitor`. */
  best: BestEpoch;
  /** Worker processes. */
  workers: number;
  /** Keys of the config that changed when the run was resumed, and where it stood then. */
  changes?:
    | { epoch: number; step: number; key: string; before: unknown; after: unknown }[]
    | undefined;
  /** Recoveries from lost workers, oldest first; those of parts that were repeated later stay. */
  recoveries?: RecoveryRecord[] | undefined;
  /** Position and reason of an end before the last epoch. */
  stopped?: { epoch: number; step: number; reason: string } | undefined;
}

const CSV_HEADER = [
  "epoch",
  "learning_rate",
  "train_loss",
  "train_accuracy",
  "validation_loss",
  "validation_accuracy",
  "validation_count",
  "seconds",
  "images_per_second",
];

/**
 * Writes `history.json` into a run folder, replaced as a whole.
 *
 * @param log First line of the `history.jsonl` in which the history will go on; unless given, it has none
 */
export async function writeHistory(folder: string, history: History, log?: string): Promise<void> {
  const tree = { historyVersion: HISTORY_VERSION, ...(log ? { log } : {}), ...history };
  await writeFileAtomically(join(folder, HISTORY_FILE), jsonPieces(tree));
}

/** Writes `history.csv` into a run folder, replaced as a whole. */
export async function writeHistoryTable(folder: string, history: History): Promise<void> {
  await writeFileAtomically(join(folder, "history.csv"), historyAsCsv(history));
}

/** Writes `losses.csv` into a run folder, replaced as a whole. */
export async function writeLossTable(folder: string, history: History): Promise<void> {
  await writeFileAtomically(join(folder, "losses.csv"), lossesAsCsv(history));
}

/** The epochs as comma-separated lines under one header line, for spreadsheets and pandas. */
export function historyAsCsv(history: History): string {
  const names = Object.keys(history.epochs[0]?.metrics ?? {});
  const isScaled = history.epochs.some(({ skippedSteps }) => skippedSteps !== undefined);
  const maySkip = history.epochs.some(({ nonFiniteSteps }) => nonFiniteSteps !== undefined);
  const rows = history.epochs.map((record) => [
    record.epoch,
    record.learningRate,
    record.train.loss,
    record.train.accuracy,
    record.validation.loss,
    record.validation.accuracy,
    record.validation.count,
    record.seconds,
    record.imagesPerSecond,
    ...names.map((name) => record.metrics?.[name] ?? NaN),
    ...(isScaled ? [record.skippedSteps ?? 0] : []),
    ...(maySkip ? [record.nonFiniteSteps ?? 0] : []),
  ]);
  const header = [
    ...CSV_HEADER,
    ...names.map((name) => `validation_${name}`),
    ...(isScaled ? ["skipped_steps"] : []),
    ...(maySkip ? ["non_finite_steps"] : []),
  ];
  return csvText([header, ...rows.map((row) => row.map(String))], "\n") + "\n";
}

/** Losses against images seen, those of training and of validation, as comma-separated lines under a header. */
export function lossesAsCsv({ losses, validations }: History): string {
  const rows = [
    ...losses.map((point) => ({ part: "train", accuracy: "", ...point })),
    ...validations.map((point) => ({ part: "validation", ...point })),
  ].sort((a, b) => a.examples - b.examples);
  const lines = rows.map(({ examples, epoch, step, part, loss, accuracy }) =>
    [examples, epoch, step, part, loss, accuracy].join(",") + "\n"
  );
  return ["examples,epoch,step,part,loss,accuracy\n", ...lines].join("");
}

/**
 * Reads and checks the history of a run folder.
 *
 * @param folder The run folder
 * @throws {UsageError} when the file is missing, is not JSON, or is not a history
 */
export async function readHistory(folder: string): Promise<History> {
  const path = join(folder, HISTORY_FILE);
  const broken = (what: string) =>
    new UsageError(`${path} ${what}: restore the file, or start a new run without --resume`);
  let tree: unknown;
  try {
    tree = JSON.parse(await readRegularText(path));
  } catch (error) {
    const what = error instanceof SyntaxError ? "is not valid JSON" : "can't be read";
    throw broken(`${what} (${reasonOf(error)})`);
  }
  const version = (tree as { historyVersion?: unknown } | null)?.historyVersion ?? 1;
  if (version !== 1 && version !== HISTORY_VERSION) {
    throw broken(`is a history of version ${version}, of another Lockstep`);
  }
  const result = historySchema.safeParse(tree);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw broken(`is not a history, ${issue.path.join(".") || "the whole"}: ${issue.message}`);
  }
  const { historyVersion: _version, log, ...history } = result.data;
  if (log !== undefined) await addGains(folder, log, history);
  const misplaced = history.epochs.findIndex(({ epoch }, index) => epoch !== index + 1);
  if (misplaced >= 0) {
    const { epoch } = history.epochs[misplaced];
    throw broken(`has epoch ${epoch} where epoch ${misplaced + 1} belongs`);
  }
  return history;
}

/**
 * Adds what `history.jsonl` knows beyond `history.json`: its lines, if the first names the file that they follow. A
 * half line of a killed process is left out.
 */
async function addGains(folder: string, id: string, history: History): Promise<void> {
  let bytes: Uint8Array;
  try {
    bytes = await readRegularFile(join(folder, HISTORY_LOG_FILE));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const [head, ...lines] = linesOf(bytes);
  if (!head || z.object({ log: z.literal(id) }).safeParse(parseLine(head.text)).error) return;
  for (const { text } of lines) {
    const gain = historyGainSchema.safeParse(parseLine(text)).data;
    if (!gain) return;
    history.epochs.push(...gain.epochs);
    history.losses.push(...gain.losses);
    history.validations.push(...gain.validations);
    if (gain.best) history.best = gain.best;
    if (gain.stopped) history.stopped = gain.stopped;
    if (gain.recoveries) history.recoveries = [...history.recoveries ?? [], ...gain.recoveries];
  }
}

/**
 * The results of an evaluation, as `evaluation.json`, and its prediction for each image, as `predictions.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { csvText } from "../base/csv.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { jsonPieces, jsonText } from "../base/json_pieces.ts";
import { readRegularText } from "../base/regular_file.ts";
import { escapeJson } from "../base/visible_text.ts";
import { writeFileAtomically } from "../base/paths.ts";

/** Folder of an evaluation in a run folder. */
export const EVALUATION_FOLDER = "evaluation";
/** Name of the description in it. */
export const EVALUATION_FILE = "evaluation.json";

const VERSION = 2;

/** JSON has no NaN: what isn't known is written as `null` and read back as NaN. */
const measured = z.number().nullable().transform((value) => value ?? NaN);
const count = z.int().nonnegative();
const means = z.object({ precision: measured, recall: measured, f1: measured });

const evaluationSchema = z.object({
  /** 1 had the matrix as rows whatever the number of classes. */
  evaluationVersion: z.literal([1, VERSION]),
  /** Version of the program. */
  lockstep: z.string(),
  /** ISO 8601, UTC. */
  time: z.string(),
  /** The evaluated model. */
  model: z.object({
    /** The architecture. */
    name: z.string(),
    /** Name of the run's folder, where there is one. */
    run: z.string().optional(),
    /** The config's `name`, where there is one. */
    runName: z.string().optional(),
    /** The checkpoint's folder or the file of weights, as it was named. */
    checkpoint: z.string(),
    /** The epoch that its state stands in, where it is known. */
    epoch: count.optional(),
  }),
  /** On which images. */
  data: z.object({
    root: z.string(),
    split: z.enum(["train", "val"]),
    /** Images that were found. */
    pictures: count,
    fingerprint: z.string(),
  }),
  workers: z.int().positive(),
  /** Names of the workers' GPUs, where they computed on some. */
  devices: z.array(z.string()).optional(),
  seconds: z.number().nonnegative(),
  /** Names in the order of the model's outputs. */
  classes: z.array(z.string()),
  /** Images that were scored. */
  count,
  /** Mean over them, as the run's validation computes it. */
  loss: measured,
  /** Shares from 0 to 1. */
  accuracy: measured,
  /** Only with more than five classes. */
  top5: measured.optional(),
  perClass: z.array(z.object({
    class: z.string(),
    precision: measured,
    recall: measured,
    f1: measured,
    /** Images of the class. */
    support: count,
    /** Images that were taken for it. */
    predicted: count,
  })),
  /** Plain means over the classes that have images. */
  macro: means,
  /** Means over the classes, each counted by its images. */
  weighted: means,
  /** Images by true class (row) and predicted class (column); only with up to 256 classes. */
  confusionMatrix: z.array(z.array(count)).optional(),
  /** With more classes: true class, predicted class and images of each cell that is not 0. */
  confusions: z.array(z.tuple([count, count, count])).optional(),
  calibration: z.object({
    /** Expected and maximum calibration error. */
    ece: measured,
    mce: measured,
    /** Mean probability of the predicted classes. */
    confidence: measured,
    bins: z.array(z.object({
      from: z.number(),
      to: z.number(),
      count,
      confidence: measured,
      accuracy: measured,
    })),
  }),
  /** The wrong predictions that the model was surest of, the surest first. */
  mistakes: z.array(z.object({
    path: z.string(),
    trueClass: z.string(),
    predictedClass: z.string(),
    probability: measured,
    loss: measured,
  })),
  /** Images that couldn't be read. */
  skipped: z.array(z.object({ path: z.string(), reason: z.string() })),
});

/** The results of an evaluation. */
export type EvaluationRecord = z.output<typeof evaluationSchema>;

/** The facts that the writer knows; versions and the time are added. */
export type EvaluationFacts = Omit<EvaluationRecord, "evaluationVersion" | "lockstep" | "time">;

/** One image's part of `predictions.csv`. */
export interface ScoredImage {
  /** Relative to the data's folder. */
  readonly path: string;
  readonly trueClass: string;
  /** Times the class's weight, where the run has such. */
  readonly loss: number;
  /** Names of the most probable classes, the first one first. */
  readonly ranked: readonly string[];
  /** Their probabilities. */
  readonly probabilities: readonly number[];
}

/** Adds the versions and the time to what an evaluation found. */
export function completeRecord(
  facts: EvaluationFacts,
  lockstep: string,
  time: Date = new Date(),
): EvaluationRecord {
  return { evaluationVersion: VERSION, lockstep, time: time.toISOString(), ...facts };
}

/** Writes `evaluation.json`, replaced as a whole. */
export async function writeEvaluation(folder: string, record: EvaluationRecord): Promise<void> {
  await writeFileAtomically(join(folder, EVALUATION_FILE), jsonPieces(record));
}

/** The record as JSON. */
export function evaluationAsJson(record: EvaluationRecord): string {
  return escapeJson(jsonText(record));
}

/**
 * Reads and checks `evaluation.json`.
 *
 * @param folder As `runs/latest/evaluation`
 * @returns Nothing when there is no such file
 * @throws {UsageError} when it is something else than an evaluation of this version
 */
export async function readEvaluation(folder: string): Promise<EvaluationRecord | undefined> {
  const path = join(folder, EVALUATION_FILE);
  const broken = (what: string) =>
    new UsageError(`${path} ${what}: make it anew with deno task evaluate`);
  let tree: unknown;
  try {
    tree = JSON.parse(await readRegularText(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw broken(`is not valid JSON (${reasonOf(error)})`);
  }
  const result = evaluationSchema.safeParse(tree);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw broken(`is not an evaluation, ${issue.path.join(".") || "the whole"}: ${issue.message}`);
}

/** Digits of a probability or loss. */
const DIGITS = 6;

/**
 * Writes `predictions.csv` (RFC 4180), replaced as a whole: `path`, `true_class`, `predicted_class`, `probability`,
 * `loss`, then `class_2`, `probability_2` and so on for the ranks behind the first.
 */
export async function writeScoredPictures(
  folder: string,
  images: readonly ScoredImage[],
): Promise<void> {
  const width = images[0]?.ranked.length ?? 1;
  const ranks = Array.from({ length: width - 1 }, (_, index) => index + 2);
  const header = [
    "path",
    "true_class",
    "predicted_class",
    "probability",
    "loss",
    ...ranks.flatMap((rank) => [`class_${rank}`, `probability_${rank}`]),
  ];
  const rows = images.map(({ path, trueClass, loss, ranked, probabilities }) => [
    path,
    trueClass,
    ranked[0],
    probabilities[0].toFixed(DIGITS),
    loss.toFixed(DIGITS),
    ...ranks.flatMap((rank) => [ranked[rank - 1], probabilities[rank - 1].toFixed(DIGITS)]),
  ]);
  const text = `${csvText([header, ...rows])}\r\n`;
  await writeFileAtomically(join(folder, "predictions.csv"), text);
}

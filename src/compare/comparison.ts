/**
 * The results of a comparison of several variants: `comparison.json` and `comparison.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { csvText } from "../base/csv.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";
import type { ConfigInput } from "../config/input.ts";
import { configSchema, type LoadedConfig } from "../config/schema.ts";
import { type EpochRecord, epochSchema } from "../records/history.ts";
import { type RecoveryRecord, recoverySchema } from "../records/recovery_record.ts";
import { type Spread, spreadOf } from "./spread.ts";

/** Name of the result in a comparison's folder. */
export const COMPARISON_FILE = "comparison.json";

const runSchema = z.object({
  seed: z.int().nonnegative(),
  /** The run's folder, below the comparison's. */
  folder: z.string().regex(/^[\w.-]+$/, "a folder's name"),
  status: z.enum(["waiting", "running", "interrupted", "failed", "finished"]),
  /** The error's message. */
  message: z.string().optional(),
  /** As in the run's own `history.json`. */
  epochs: z.array(epochSchema),
  recoveries: z.array(recoverySchema).optional(),
});

const variantSchema = z.object({
  /** Names its folders. */
  id: z.string().regex(/^[\w.-]+$/),
  /** For people. */
  label: z.string().min(1),
  /** Resolved; its seed is the first run's. */
  config: configSchema,
  /** Values of the keys in which the variants differ. */
  differences: z.record(z.string(), z.unknown()),
  /** One for each seed. */
  runs: z.array(runSchema).min(1),
});

const comparisonSchema = z.object({
  comparisonVersion: z.literal(1),
  /** Part of the folder's name. */
  name: z.string(),
  /** ISO 8601, UTC. */
  created: z.string(),
  variants: z.array(variantSchema).min(1),
});

/** One training of a comparison. */
export interface ComparedRun {
  /** Its config's seed. */
  seed: number;
  /** The run's folder, below the comparison's. */
  folder: string;
  /** The state of the run. */
  status: "waiting" | "running" | "interrupted" | "failed" | "finished";
  /** The error's message. */
  message?: string | undefined;
  /** As in the run's own `history.json`. */
  epochs: EpochRecord[];
  /** Likewise. */
  recoveries?: RecoveryRecord[] | undefined;
}

/** One side of a comparison, with its runs. */
export interface ComparedVariant<ItsConfig = ConfigInput> {
  /** Names its folders. */
  id: string;
  /** For people. */
  label: string;
  /** Resolved; its seed is the first run's. */
  config: ItsConfig;
  /** Values of the keys in which the variants differ. */
  differences: Record<string, unknown>;
  /** One for each seed. */
  runs: ComparedRun[];
}

/** A comparison as it stands. */
export interface Comparison<ItsConfig = ConfigInput> {
  /** Of the format. */
  comparisonVersion: 1;
  /** Part of the folder's name. */
  name: string;
  /** ISO 8601, UTC. */
  created: string;
  /** The compared variants. */
  variants: ComparedVariant<ItsConfig>[];
}

/** The results of one run so far. */
export interface RunSummary {
  /** Best validation accuracy, NaN while there is none. */
  readonly bestAccuracy: number;
  /** Its epoch; 0 while there is none. */
  readonly bestEpoch: number;
  /** Training and validation of all epochs, without the start of the processes. */
  readonly seconds: number;
  /** The median of the epochs, so that the first one with its warm-up counts little. */
  readonly imagesPerSecond: number;
}

/** The results of a variant's runs, over its seeds. */
export interface VariantSummary {
  /** Runs that are finished, and all of them. */
  readonly finished: number;
  readonly runs: number;
  readonly bestAccuracy: Spread;
  readonly seconds: Spread;
  readonly imagesPerSecond: Spread;
}

/** Sums a run up. */
export function summarizeRun({ epochs }: ComparedRun): RunSummary {
  const best = epochs.reduce<(typeof epochs)[number] | undefined>(
    (best, record) =>
      isMeasured(record) && record.validation.accuracy > (best?.validation.accuracy ?? -1)
        ? record
        : best,
    undefined,
  );
  const rates = epochs.map(({ imagesPerSecond }) => imagesPerSecond).filter((rate) => rate > 0);
  return {
    bestAccuracy: best?.validation.accuracy ?? NaN,
    bestEpoch: best?.epoch ?? 0,
    seconds: epochs.reduce((sum, { seconds }) => sum + seconds, 0),
    imagesPerSecond: spreadOf(rates).median,
  };
}

/** Tells whether an epoch's losses and accuracies are all finite; otherwise it is never the best. */
export function isMeasured({ train, validation }: EpochRecord): boolean {
  const { loss, accuracy } = validation;
  return [train.loss, train.accuracy, loss, accuracy].every(Number.isFinite);
}

/** Sums a variant up, over its runs that have an epoch to show. */
export function summarizeVariant({ runs }: ComparedVariant): VariantSummary {
  const shown = runs.filter(({ epochs }) => epochs.length > 0).map(summarizeRun);
  const over = (key: keyof RunSummary) => spreadOf(shown.map((summary) => summary[key]));
  return {
    finished: runs.filter(({ status }) => status === "finished").length,
    runs: runs.length,
    bestAccuracy: over("bestAccuracy"),
    seconds: over("seconds"),
    imagesPerSecond: over("imagesPerSecond"),
  };
}

/** The variant with the highest best accuracy, on average over its runs. */
export function bestVariant({ variants }: Comparison): ComparedVariant | undefined {
  const accuracy = (variant: ComparedVariant) => summarizeVariant(variant).bestAccuracy.mean;
  return variants.filter((variant) => Number.isFinite(accuracy(variant)))
    .toSorted((a, b) => accuracy(b) - accuracy(a))[0];
}

/** Writes `comparison.json` and `comparison.csv`, each replaced as a whole. */
export async function writeComparison(folder: string, comparison: Comparison): Promise<void> {
  const variants = comparison.variants.map(({ runs, ...variant }) => ({
    ...variant,
    summary: summarizeVariant({ ...variant, runs }),
    runs: runs.map(({ epochs, ...run }) => ({
      ...run,
      ...summarizeRun({ ...run, epochs }),
      epochs,
    })),
  }));
  const text = JSON.stringify({ ...comparison, variants }, undefined, 2) + "\n";
  await writeFileAtomically(join(folder, COMPARISON_FILE), text);
  await writeFileAtomically(join(folder, "comparison.csv"), comparisonAsCsv(comparison));
}

/** All epochs of all runs as comma-separated lines (RFC 4180) under one header line. */
export function comparisonAsCsv({ variants }: Comparison): string {
  const rows = variants.flatMap(({ id, label, runs }) =>
    runs.flatMap(({ seed, epochs }) =>
      epochs.map(({ epoch, learningRate, train, validation, seconds, imagesPerSecond }) => ({
        variant: id,
        label,
        seed,
        epoch,
        learning_rate: learningRate,
        train_loss: train.loss,
        train_accuracy: train.accuracy,
        validation_loss: validation.loss,
        validation_accuracy: validation.accuracy,
        validation_count: validation.count,
        seconds,
        images_per_second: imagesPerSecond,
      }))
    )
  );
  const fields = [
    ...["variant", "label", "seed", "epoch", "learning_rate", "train_loss", "train_accuracy"],
    ...["validation_loss", "validation_accuracy", "validation_count", "seconds"],
    "images_per_second",
  ];
  const data = rows.map((row) => fields.map((field) => row[field as keyof typeof row]));
  return `${csvText([fields, ...data])}\r\n`;
}

/**
 * Reads and checks the result in a comparison's folder.
 *
 * @throws {UsageError} when the file is missing, is not JSON, or is not a comparison
 */
export async function readComparison(folder: string): Promise<Comparison<LoadedConfig>> {
  const path = join(folder, COMPARISON_FILE);
  let tree: unknown;
  try {
    tree = JSON.parse(await readRegularText(path));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new UsageError(
        `${path} is not valid JSON (${reasonOf(error)}): restore it, or start anew`,
      );
    }
    throw new UsageError(
      `${folder} is not a comparison, its ${COMPARISON_FILE} can't be read (${
        reasonOf(error)
      }): give ` +
        "a folder that deno task compare made, such as runs/latest-compare",
    );
  }
  const result = comparisonSchema.safeParse(tree);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UsageError(
    `${path} is not a comparison, ${
      issue.path.join(".") || "the whole"
    }: ${issue.message}: restore the file, ` +
      "or start a new comparison",
  );
}

/**
 * The result of a check, as `report.json`.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { readRegularText } from "../base/regular_file.ts";
import { escapeJson } from "../base/visible_text.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { type FindingKind, KIND_NAMES, type Severity } from "./kinds.ts";

/** Name of the file. */
export const DATA_CHECK_FILE = "report.json";

const VERSION = 1;

const count = z.int().nonnegative();
const severity = z.enum(["error", "warning", "note"] satisfies Severity[]);
const kind = z.enum(KIND_NAMES as [FindingKind, ...FindingKind[]]);

const recordSchema = z.object({
  dataCheckVersion: z.literal(VERSION),
  /** Version of the program. */
  lockstep: z.string(),
  /** ISO 8601, UTC. */
  time: z.string(),
  /** The folder, archive or name that was given. */
  data: z.string(),
  /** The folder that paths are relative to. */
  root: z.string(),
  format: z.enum(["imageFolder", "cifar10"]),
  /** `["all"]` for a single folder of classes. */
  sides: z.array(z.enum(["train", "val", "all"])),
  settings: z.object({
    /** Bits of 64 that hashes of near-duplicates may differ in. */
    nearDistance: count,
    maxPixels: count,
  }),
  /** Images that were found; those of a single folder count as `train`. */
  pictures: z.object({ train: count, val: count, unusable: count }),
  seconds: z.number().nonnegative(),
  /** In the order of the labels. */
  classes: z.array(z.object({ name: z.string(), train: count, val: count, unusable: count })),
  /** Over the training images; `null` where there is nothing to measure. */
  balance: z.object({
    /** Images of the largest class over those of the smallest. */
    ratio: z.number().nullable(),
    /** Entropy of the classes' shares over the greatest possible, 0 to 1. */
    evenness: z.number().nullable(),
  }),
  /** The number of findings of each severity. */
  counts: z.object({ error: count, warning: count, note: count }),
  /** Kinds that were found, the heaviest first. */
  kinds: z.array(z.object({ kind, severity, title: z.string(), count, cure: z.string() })),
  /** In the order of `kinds`; of near-duplicates the nearest ones, up to a number. */
  findings: z.array(z.object({
    kind,
    severity,
    /** Relative to the root: one, or those that are alike. */
    files: z.array(z.string()),
    detail: z.string(),
    /** Of near-duplicates: bits of 64 in which their hashes differ. */
    distance: count.optional(),
  })),
  /** True if `findings` has all; false when there are more near-duplicates than are listed. */
  complete: z.boolean(),
});

/** The result of a check. */
export type DataCheckRecord = z.output<typeof recordSchema>;

/** The results of a check; versions and the time are added on writing. */
export type DataCheckFacts = Omit<DataCheckRecord, "dataCheckVersion" | "lockstep" | "time">;

/** Adds versions and the time. */
export function completeDataCheck(
  facts: DataCheckFacts,
  lockstep: string,
  time: Date = new Date(),
): DataCheckRecord {
  return { dataCheckVersion: VERSION, lockstep, time: time.toISOString(), ...facts };
}

/** The record as indented JSON. */
export function dataCheckAsJson(record: DataCheckRecord): string {
  return escapeJson(JSON.stringify(record, undefined, 2));
}

/** Writes `report.json`, replaced as a whole. */
export async function writeDataCheck(folder: string, record: DataCheckRecord): Promise<void> {
  await writeFileAtomically(join(folder, DATA_CHECK_FILE), dataCheckAsJson(record) + "\n");
}

/**
 * Reads and checks `report.json`.
 *
 * @throws {UsageError} when it is missing or no such report
 */
export async function readDataCheck(folder: string): Promise<DataCheckRecord> {
  const path = join(folder, DATA_CHECK_FILE);
  const broken = (what: string) =>
    new UsageError(`${path} ${what}: make it anew with deno task data check`);
  let tree: unknown;
  try {
    tree = JSON.parse(await readRegularText(path));
  } catch (error) {
    throw broken(`can't be read (${reasonOf(error)})`);
  }
  const result = recordSchema.safeParse(tree);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw broken(`is no report, ${issue.path.join(".") || "the whole"}: ${issue.message}`);
}

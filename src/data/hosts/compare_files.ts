/**
 * Differences between a data set's files on two hosts.
 *
 * @module
 */
import { formatBytes, groupedCount, groupThousands } from "../../base/format.ts";
import type { SampleTable } from "../datasets/sample_table.ts";

/** Differing files of each kind that are kept for the message. */
const MAX_SHOWN = 3;

/** Differing files of one kind: how many, and the first of them as a message names them. */
export interface DifferingFiles {
  count: number;
  readonly shown: string[];
}

/** Differences of a host's files from the coordinator's. */
export interface FileDifferences {
  readonly missing: DifferingFiles;
  readonly additional: DifferingFiles;
  readonly otherSize: DifferingFiles;
  readonly otherContent: DifferingFiles;
  /** Missing files of which there is one whose name differs in its Unicode form alone. */
  otherForm: number;
}

/** Number and bytes of all files on a host. */
export interface FileTotals {
  readonly count: number;
  readonly bytes: number;
}

/** Returns differences without any. */
export function noDifferences(): FileDifferences {
  const none = () => ({ count: 0, shown: [] });
  return {
    ...{ missing: none(), additional: none(), otherSize: none(), otherContent: none() },
    otherForm: 0,
  };
}

/** Counts a differing file. */
export function addDiffering(files: DifferingFiles, path: string, detail = ""): void {
  files.count++;
  if (files.shown.length < MAX_SHOWN) files.shown.push(`${JSON.stringify(path)}${detail}`);
}

/**
 * Compares paths and sizes.
 *
 * @param found The files on a host, all of them on the side `train`
 * @returns The differences, and 1 for each row of `expected` that has the same size there
 */
export function comparePathsAndSizes(
  expected: SampleTable,
  found: SampleTable,
): { differences: FileDifferences; isSame: Uint8Array } {
  const differences = noDifferences();
  const seen = new Uint8Array(found.length), isSame = new Uint8Array(expected.length);
  const missing: string[] = [];
  for (let row = 0, next = 0; row < expected.length; row++) {
    const path = expected.path(row);
    // Most often the file comes behind the one before.
    const at = next < found.length && found.path(next) === path ? next : found.rowOf("train", path);
    if (at < 0) {
      missing.push(path);
      continue;
    }
    next = at + 1;
    seen[at] = 1;
    const bytes = expected.bytes(row), here = found.bytes(at);
    if (bytes === here) isSame[row] = 1;
    else {addDiffering(
        differences.otherSize,
        path,
        ` (${sizeOf(here)} instead of ${sizeOf(bytes)})`,
      );}
  }
  missing.forEach((path) => addDiffering(differences.missing, path));
  const additional: string[] = [];
  for (const [row, isSeen] of seen.entries()) if (!isSeen) additional.push(found.path(row));
  additional.forEach((path) => addDiffering(differences.additional, path));
  differences.otherForm = countOtherForms(missing, additional);
  return { differences, isSame };
}

function countOtherForms(missing: readonly string[], additional: readonly string[]): number {
  if (missing.length === 0 || additional.length === 0) return 0;
  const composed = new Set(additional.map((path) => path.normalize("NFC")));
  return missing.filter((path) => composed.has(path.normalize("NFC"))).length;
}

function sizeOf(bytes: number): string {
  return bytes < 0 ? "unreadable" : `${bytes} bytes`;
}

/** Describes differences as the predicate's objects of a sentence; nothing where there are none. */
export function describeDifferences(
  { missing, additional, otherSize, otherContent, otherForm }: FileDifferences,
): string | undefined {
  const parts = [
    describe(missing, (count) => count === 1 ? "is missing" : "are missing"),
    describe(additional, (count) => count === 1 ? "is additional" : "are additional"),
    describe(otherSize, (count) => count === 1 ? "has another size" : "have another size"),
    describe(otherContent, (count) => count === 1 ? "has other content" : "have other content"),
  ].filter((part) => part !== undefined);
  if (parts.length === 0) return undefined;
  const forms = otherForm === 0
    ? ""
    : `; ${groupedCount(otherForm, "name")} ${
      otherForm === 1 ? "differs" : "differ"
    } in the Unicode form alone, as macOS's do`;
  return parts.join("; ") + forms;
}

function describe(
  { count, shown }: DifferingFiles,
  verb: (count: number) => string,
): string | undefined {
  if (count === 0) return undefined;
  const more = count > shown.length ? ` and ${groupThousands(count - shown.length)} more` : "";
  return `${groupedCount(count, "file")} ${verb(count)}: ${shown.join(", ")}${more}`;
}

/** Describes totals: `271 files (12.3 MB)`. */
export function describeTotals({ count, bytes }: FileTotals): string {
  return `${groupedCount(count, "file")} (${formatBytes(bytes)})`;
}

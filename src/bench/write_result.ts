/**
 * The files of a benchmark: `result.json`, `result.csv`, `result.svg` and `result.png`.
 *
 * @module
 */
import { join } from "node:path";
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import { csvText } from "../base/csv.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { describeEnvironment } from "../records/environment.ts";
import { writePlot } from "../plots/plot.ts";

/** A cell of a CSV file. */
type Cell = string | number | null;

/** A line of a CSV file by the names of its columns; all lines have the same. */
export type Row = Record<string, Cell>;

/**
 * Writes a result into a folder, which is made when missing.
 *
 * @param workers Greatest number of workers, for the description of the environment
 */
export async function writeResult(
  folder: string,
  { result, rows, plot, workers, threads }: {
    result: object;
    rows: readonly Row[];
    plot: TopLevelSpec;
    workers: number;
    threads: number;
  },
): Promise<void> {
  const environment = await describeEnvironment({
    workers,
    threadsPerWorker: threads,
    devices: ["CPU"],
  });
  const json = JSON.stringify({ ...result, environment }, undefined, 2) + "\n";
  await writeFileAtomically(join(folder, "result.json"), json);
  await writeFileAtomically(join(folder, "result.csv"), asCsv(rows));
  await writePlot(folder, "result", plot);
}

/** Lines under a header line. */
export function asCsv(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {});
  return csvText([names, ...rows.map((row) => names.map((name) => row[name] ?? ""))], "\n") + "\n";
}

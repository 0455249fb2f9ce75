/**
 * The files of a profile: `result.json`, `ops.csv` and `nodes.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/paths.ts";
import { describeEnvironment } from "../records/environment.ts";
import type { StepBenchOptions } from "./step_bench.ts";
import type { StepProfile } from "./step_profile.ts";
import { asCsv } from "./write_result.ts";

/** Writes a profile into a folder, which is made when missing. */
export async function writeProfile(
  folder: string,
  options: StepBenchOptions,
  profile: StepProfile,
): Promise<void> {
  const environment = await describeEnvironment({
    workers: 1,
    threadsPerWorker: options.threads,
    devices: ["CPU"],
  });
  const json = JSON.stringify({ ...options, ...profile, environment }, undefined, 2) + "\n";
  await writeFileAtomically(join(folder, "result.json"), json);
  await writeFileAtomically(
    join(folder, "ops.csv"),
    asCsv(profile.ops.map((row) => ({ ...row }))),
  );
  // A shape holds commas, which no cell may.
  const nodes = profile.slowest.map(({ shapes, ...row }) => ({
    ...row,
    shapes: shapes.join("; ").replaceAll(",", "×"),
  }));
  await writeFileAtomically(join(folder, "nodes.csv"), asCsv(nodes));
}

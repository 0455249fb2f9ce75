/**
 * The run that a command works with: the one that is named, or the newest.
 *
 * @module
 */
import type { Flags } from "./flags.ts";

/**
 * Returns the run of `--run`. Without it, and without a checkpoint that is named by its path, it is the newest run that
 * has the checkpoint.
 *
 * @param say Gets a line that names the newest run
 * @returns Nothing where a checkpoint's path stands for itself
 * @throws {UsageError} where no run has the checkpoint
 */
export async function chosenRun(
  flags: Flags,
  say: (line: string) => void,
): Promise<string | undefined> {
  const run = flags.text("run");
  const checkpoint = flags.text("checkpoint") ?? "best";
  if (run !== undefined || (checkpoint !== "best" && checkpoint !== "last")) return run;
  const { findNewestRun } = await import("../inference/newest_run.ts");
  const newest = await findNewestRun(checkpoint);
  say(newest.note);
  return newest.run;
}

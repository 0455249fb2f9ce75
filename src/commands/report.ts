/**
 * `deno task report`: makes the reports of runs again, from their files.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { followPointers } from "../base/pointer.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

const NEWEST = "runs/latest";

/** `deno task report`. */
export const COMMAND: TaskCommand = {
  name: "report",
  title: "Write the report of runs anew, from their files",
  summary:
    "Write report.html anew from a run's or comparison's files; the newest run's unless named.",
  positional: "[RUN…]",
  permissions: "report",
  flags: [HELP_FLAG],
  examples: [
    "deno task report",
    "deno task report runs/20261123-165456-food-groups",
    "deno task report runs/latest-compare",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const { say } = await import("../terminal/terminal_stream.ts");
  const folders: string[] = [];
  for (const folder of flags.positional) folders.push(await runFolder(folder));
  if (folders.length === 0) {
    const { findNewestRun } = await import("../inference/newest_run.ts");
    const { run, note } = await findNewestRun("history");
    say(note);
    folders.push(run);
  }
  const { writeReport } = await import("../report/report.ts");
  for (const folder of folders) {
    const path = await isComparison(folder)
      ? await writeReportOfComparison(folder)
      : await writeReport(folder);
    say(`Report: ${path}`);
  }
  return 0;
}

async function isComparison(folder: string): Promise<boolean> {
  return await exists(join(folder, "comparison.json"));
}

async function writeReportOfComparison(folder: string): Promise<string> {
  const { readComparison } = await import("../compare/comparison.ts");
  const { writeComparisonReport } = await import(
    "../compare/report/comparison_report.ts"
  );
  return await writeComparisonReport(folder, await readComparison(folder));
}

/** The folder of a run or a comparison; `runs/latest` becomes the run's own. */
async function runFolder(named: string): Promise<string> {
  const folder = await followPointers(named);
  const isRun = await exists(join(folder, "config.yaml")) ||
    await exists(join(folder, "history.json")) || await isComparison(folder);
  if (!isRun) {
    throw new UsageError(
      `${folder} is not a run folder, it has neither config.yaml nor history.json: ` +
        `name one such as ${NEWEST}`,
    );
  }
  const { isSymlink } = await Deno.lstat(folder);
  return isSymlink ? join(dirname(folder), await Deno.readLink(folder)) : folder;
}

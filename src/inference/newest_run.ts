/**
 * The newest run of a folder that has what a command needs.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { task } from "../base/invocation.ts";
import { HISTORY_FILE } from "../records/history.ts";
import { readLiveStatus } from "../records/live_status.ts";
import { readCheckpoint } from "../checkpoint/checkpoint.ts";
import { folderOf, INFO_FILE } from "../checkpoint/checkpoint_names.ts";

/** Folder of the runs, as commands make it by default. */
export const RUNS = "runs";

/** The file or checkpoint that a run must have. */
export type RunNeed = "best" | "last" | "history";

/** A run, and those that were newer. */
export interface NewestRun {
  /** Path of its folder. */
  readonly run: string;
  /** A sentence that names it, and newer ones with the reason why they were left out. */
  readonly note: string;
}

/** Newer runs that a sentence names. */
const MAX_NAMED = 5;

const CONFIG_FILE = "config.yaml";

const WHAT: Readonly<Record<RunNeed, string>> = {
  best: "a best checkpoint",
  last: "a last checkpoint",
  history: "a history",
};

/**
 * Finds the newest run that has the needed file. A running one is left out where its checkpoint is needed, since the
 * checkpoint will soon be replaced. A run whose checkpoint is damaged is left out, too.
 *
 * @param need A checkpoint or the history
 * @param runs The folder of runs
 * @throws {UsageError} where there is none, with the cure
 */
export async function findNewestRun(need: RunNeed, runs: string = RUNS): Promise<NewestRun> {
  const skipped: string[] = [];
  for (const name of await runsIn(runs)) {
    const run = join(runs, name);
    const reason = await whyNot(run, need);
    if (reason === undefined) {
      const left = skipped.length > 0
        ? `; newer ones were left out: ${listed(skipped, { max: MAX_NAMED })}`
        : "";
      return { run, note: `Run: ${run}, the newest with ${WHAT[need]}${left}` };
    }
    skipped.push(`${name} ${reason}`);
  }
  const there = skipped.length > 0 ? `: ${listed(skipped, { max: MAX_NAMED })}` : "";
  throw new UsageError(
    `There is no run with ${WHAT[need]} in ${runs}${there}; train one with "${
      task("train")
    }", or name ${need === "history" ? "a run's folder" : "one with --run"}`,
  );
}

/** Names of run folders, the newest first. */
async function runsIn(runs: string): Promise<string[]> {
  const found: { name: string; begun: string }[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(runs)) {
      if (!isDirectory) continue;
      const begun = await beginOf(join(runs, name), name);
      if (begun !== undefined) found.push({ name, begun });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const order = new Intl.Collator("en", { numeric: true });
  return found.sort((a, b) => order.compare(b.begun, a.begun) || order.compare(b.name, a.name))
    .map(({ name }) => name);
}

/** Returns a run's start: by its folder's name, else by the time of its config; nothing where the folder is no run. */
async function beginOf(path: string, name: string): Promise<string | undefined> {
  const config = await Deno.stat(join(path, CONFIG_FILE)).catch(() => undefined);
  const stamp = /^(\d{8}-\d{6})-/.exec(name)?.[1];
  // A run that ended before it had a config has a name and nothing else.
  if (!config?.isFile) return await isEmptyRun(path, stamp) ? stamp : undefined;
  if (stamp !== undefined) return stamp;
  const time = config.mtime ?? new Date(0);
  const local = new Date(time.getTime() - 60_000 * time.getTimezoneOffset()).toISOString();
  return local.slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}

async function isEmptyRun(path: string, stamp: string | undefined): Promise<boolean> {
  if (stamp === undefined) return false;
  for await (const _ of Deno.readDir(path)) return false;
  return true;
}

/** Returns the reason why a run can't be taken; nothing where it can. */
async function whyNot(run: string, need: RunNeed): Promise<string | undefined> {
  if (!await exists(join(run, CONFIG_FILE))) return "is empty";
  if (need === "history") {
    return await exists(join(run, HISTORY_FILE)) ? undefined : "has no history yet";
  }
  const live = await readLiveStatus(run).catch(() => undefined); // an unreadable one is of no run that goes on
  if (live) return "is going on";
  const checkpoint = join(run, "checkpoints", need);
  if (!await exists(join(await folderOf(checkpoint), INFO_FILE))) {
    return `has no ${need} checkpoint`;
  }
  try {
    await readCheckpoint(checkpoint);
  } catch (error) {
    return `has a damaged one (${messageOf(error)})`;
  }
}

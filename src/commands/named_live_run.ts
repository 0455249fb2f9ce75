/**
 * The run that a person means by a word: its name, folder, pid, or the beginning of its name.
 *
 * @module
 */
import { basename } from "node:path";
import { nearestName, UsageError } from "../base/errors.ts";
import { pathOption, shownPath } from "../base/file_path.ts";
import { task } from "../base/invocation.ts";
import { listed } from "../base/listing.ts";
import type { LiveRun } from "../records/live_runs.ts";
import { isPathWord, realPath } from "./live_listing.ts";

/** Runs that a message names. */
const MAX_NAMED = 6;

/**
 * Finds a run.
 *
 * @throws {UsageError} when no run or several are meant, with the names of those that may be
 */
export async function namedLiveRun(word: string, runs: readonly LiveRun[]): Promise<LiveRun> {
  if (word === "") throw new UsageError(`Name a run: ${nameOne(runs)}`);
  if (runs.length === 0) {
    throw new UsageError(
      `There is no run "${word}": none of yours goes on on this host; ${
        task("ps --all")
      } shows those of others`,
    );
  }
  for (const find of [byPid, byFolder, byName, byBeginning]) {
    const found = await find(word, runs);
    if (found.length === 1) return found[0]!;
    if (found.length > 1) {
      throw new UsageError(
        `${found.length} runs are meant by "${word}": give the pid of one: ${
          listed(found.map(describe), { max: MAX_NAMED, separator: "; " })
        }`,
      );
    }
  }
  const nearest = nearestName(word, runs.flatMap((run) => [...namesOf(run), String(run.pid)]));
  throw new UsageError(
    `No run on this host is called "${word}": ${
      nearest === undefined ? nameOne(runs) : `did you mean ${nearest}?`
    }`,
  );
}

function byPid(word: string, runs: readonly LiveRun[]): LiveRun[] {
  return /^\d+$/.test(word) ? runs.filter(({ pid }) => pid === Number(word)) : [];
}

async function byFolder(word: string, runs: readonly LiveRun[]): Promise<LiveRun[]> {
  const path = await realPath(pathOption("RUN", word));
  const there = await Promise.all(
    runs.map(async ({ folder }) => folder !== undefined && await realPath(folder) === path),
  );
  return runs.filter((_, at) => there[at]);
}

function byName(word: string, runs: readonly LiveRun[]): LiveRun[] {
  return runs.filter((run) => namesOf(run).includes(word));
}

function byBeginning(word: string, runs: readonly LiveRun[]): LiveRun[] {
  if (isPathWord(word)) return [];
  return runs.filter((run) => namesOf(run).some((name) => name.startsWith(word)));
}

/** Name of a run, and of its folder, with and without the time at its beginning. */
function namesOf({ name, folder }: LiveRun): string[] {
  const own = folder === undefined ? "" : basename(folder);
  return [...new Set([name, own, own.replace(/^\d{8}-\d{6}-/, "")])].filter((each) => each !== "");
}

function nameOne(runs: readonly LiveRun[]): string {
  return runs.length === 0
    ? "none goes on on this host"
    : `there ${runs.length === 1 ? "is" : "are"} ${
      listed(runs.map(describe), { max: MAX_NAMED, separator: "; " })
    }`;
}

function describe({ name, pid, folder, kind }: LiveRun): string {
  return `${pid} (${kind} ${name}${folder === undefined ? "" : ` in ${shownPath(folder)}`})`;
}

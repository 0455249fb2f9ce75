/**
 * The end of a run that another process of this host works on.
 *
 * @module
 */
import { join } from "node:path";
import { delay } from "../base/async.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import { shownPath } from "../base/file_path.ts";
import { task } from "../base/invocation.ts";
import { requestStop } from "../base/live_file.ts";
import { isSameProcess, seeProcesses } from "../base/process_identity.ts";
import { shellWord } from "../base/shell.ts";
import { readCheckpointInfo } from "../checkpoint/checkpoint.ts";
import { readEvents } from "../records/event_log.ts";
import { isStillLive, KIND_TITLES, type LiveKind, type LiveRun } from "../records/live_runs.ts";
import { isTurn } from "../records/run_turns.ts";

/** Milliseconds between two looks whether it has ended. */
const POLL_MS = 100;
/** Milliseconds between two messages that it goes on. */
const NEWS_MS = 30_000;
/** Milliseconds after which a second signal is a second request, see `base/signals.ts`. */
const SECOND_REQUEST_MS = 2_000;
/** Milliseconds that the kernel gets to end a process. */
const KILL_MS = 5_000;

/** Options of ending a run. */
export interface EndOptions {
  /** Seconds to wait for the end. */
  readonly seconds: number;
  /** Gets what happens, in sentences. */
  readonly say: (line: string) => void;
}

const FIRST: Readonly<Record<LiveKind, string>> = {
  train: "with a checkpoint if training has begun",
  compare: "with checkpoints of the runs that go on",
  evaluate: "which writes nothing then",
  bench: "which writes nothing then",
  worker: "with the workers of its host, which the run loses",
};

/**
 * Asks a run to stop in order, unless it stops already, and waits for its end.
 *
 * @throws {LockstepError} when it goes on after the time limit
 */
export async function endInOrder(run: LiveRun, { seconds, say }: EndOptions): Promise<void> {
  // A second request would end it at once: whoever asked first leaves a file that says so.
  const isFirst = await requestStop(run.file) && run.stopping === undefined;
  if (isFirst) await signal(run, "SIGTERM");
  say(
    isFirst
      ? `Stopping ${describe(run)}, ${FIRST[run.kind]}`
      : `${describe(run)} is stopping already: waiting for its end`,
  );
  if (await hasEnded(run, seconds, say)) return;
  const isStopped = (await seeProcesses([run.pid])).processes.get(run.pid)?.isStopped;
  throw new LockstepError(
    `${describe(run)} goes on ${seconds} s after the request to stop: ${
      isStopped
        ? `it is suspended; let it go on with kill -CONT ${run.pid}`
        : `wait again with ${task(`stop ${run.pid}`)}`
    }, or end it at once with ${task(`stop ${run.pid} --now`)}`,
  );
}

/**
 * Ends a run at once, by what a second Ctrl-C does; by SIGKILL when that takes longer than the time limit.
 *
 * @throws {LockstepError} when even that doesn't end it
 */
export async function endAtOnce(run: LiveRun, { seconds, say }: EndOptions): Promise<void> {
  say(`Ending ${describe(run)} at once`);
  const deadline = performance.now() + 1000 * seconds;
  await requestStop(run.file);
  if (run.stopsInOrder) {
    await signal(run, "SIGTERM");
    const wait = Math.min(SECOND_REQUEST_MS, 1000 * seconds) / 1000;
    if (run.stopping === undefined && await hasEnded(run, wait)) return;
    if (await isStillLive(run)) await signal(run, "SIGTERM");
    if (await hasEnded(run, Math.max(0, deadline - performance.now()) / 1000)) return;
    say(`It goes on after ${seconds} s: it is killed`);
  }
  await signal(run, "SIGKILL");
  if (await hasEnded(run, KILL_MS / 1000)) return;
  throw new LockstepError(
    `${
      describe(run)
    } goes on after SIGKILL: the kernel holds it, such as in a driver or on a disk that doesn't answer`,
  );
}

/** Sends a signal to the process of a run, if it is that process still. */
async function signal(run: LiveRun, name: Deno.Signal): Promise<void> {
  const seen = await seeProcesses([run.pid]);
  if (!await isStillLive(run)) return; // it has ended by itself
  if (seen.processes.size > 0 && !isSameProcess(run, seen)) {
    throw new LockstepError(
      `Process ${run.pid} is not the one that registered ${describe(run)}: no signal was sent`,
    );
  }
  try {
    Deno.kill(run.pid, name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new LockstepError(
      `${describe(run)} can't be stopped by this user (it is ${run.user}'s): ${messageOf(error)}`,
      { cause: error },
    );
  }
}

async function hasEnded(
  run: LiveRun,
  seconds: number,
  say?: (line: string) => void,
): Promise<boolean> {
  const begin = performance.now();
  for (let next = NEWS_MS; await isStillLive(run);) {
    const passed = performance.now() - begin;
    if (passed >= 1000 * seconds) return false;
    if (passed > next) {
      say?.(`It goes on after ${Math.round(passed / 1000)} s: it finishes its step and saves`);
      next += NEWS_MS;
    }
    await delay(POLL_MS);
  }
  return true;
}

/** Says what a run has left behind, and how to go on with it. */
export async function resultLines(run: LiveRun): Promise<string[]> {
  const { kind, folder } = run;
  if (kind === "compare" && folder !== undefined) {
    return [`Stopped; go on with: ${task(`compare --resume ${shellWord(shownPath(folder))}`)}`];
  }
  if (kind !== "train") return ["Stopped"];
  if (folder === undefined) return ["Stopped before it had a folder: nothing was saved"];
  const shown = shownPath(folder);
  const turn = await lastTurn(folder);
  if (turn === "finished") return [`It had come to its end: ${shown}`];
  const how = turn === "interrupted"
    ? "Stopped; saved"
    : turn === "failed"
    ? `It had ended with an error, which ${shown}/run.log has; saved`
    : "Ended without a checkpoint of this moment; the newest one";
  const resume = task(`train --resume ${shellWord(shown)}`);
  try {
    const { epoch, step } = await readCheckpointInfo(join(folder, "checkpoints", "last"));
    return [
      `${how}: ${shown}/checkpoints/last of epoch ${epoch}, step ${step}`,
      `Go on with: ${resume}`,
    ];
  } catch {
    return [`It ended before its first checkpoint; start over in its folder with: ${resume}`];
  }
}

async function lastTurn(folder: string): Promise<string | undefined> {
  const events = await readEvents(folder).catch(() => []);
  return events.findLast(isTurn)?.type;
}

function describe({ kind, name, pid }: LiveRun): string {
  return `${KIND_TITLES[kind]} ${name} (process ${pid})`;
}

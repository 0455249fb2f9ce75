/**
 * One run of a comparison, inside of its own process: trains, and tells on standard output how it goes.
 *
 * @module
 */
import { join } from "node:path";
import { delay } from "../base/async.ts";
import {
  asLockstepError,
  EXIT_INTERRUPTED,
  InterruptedError,
  LockstepError,
  messageOf,
  type StopSignal,
} from "../base/errors.ts";
import { LOCK_FILE } from "../base/folder_lock.ts";
import { exists } from "../base/paths.ts";
import { ignoreStopSignals, surviveFileLimit, takeTermination } from "../base/signals.ts";
import { readLines } from "../hosts/lines.ts";
import { RunCompleteError } from "../coordinator/state/resume_point.ts";
import { train } from "../coordinator/run.ts";
import { ensureRunFolder } from "../records/run_folder.ts";
import type { Reporter } from "../events/reporter.ts";
import { finishOutput, standardStream } from "../terminal/terminal_stream.ts";
import {
  encodeMessage,
  type MemberMessage,
  memberSettingsSchema,
  type Outcome,
  STOP,
} from "./member_messages.ts";

/** Longest line of settings, in characters. */
const LONGEST = 16 * 2 ** 20;
/** Milliseconds between two tidings of progress. */
const PROGRESS_MS = 100;
/** Milliseconds to wait for a process that still ends its part of the same run. */
const TIMEOUT_MS = 20_000;

/** Runs the process to its end. */
export async function runMember(): Promise<number> {
  const controller = new AbortController();
  // A signal to the group reaches all processes: the comparison decides what it means.
  ignoreStopSignals();
  surviveFileLimit();
  const interrupt = (name: StopSignal) =>
    controller.abort(new InterruptedError(`Interrupted by ${name}`, name));
  takeTermination(() => interrupt("SIGTERM"));
  const lines = readLines(Deno.stdin.readable, LONGEST);
  const first = await lines.next();
  const settings = memberSettingsSchema.parse(JSON.parse(first.value ?? "null"));
  obey(lines, controller.signal, () => interrupt("SIGINT"));
  say({ end: await outcomeOf(settings, controller.signal) });
  await finishOutput();
  return 0;
}

/** Stops when it is said so, or when nobody is left to say it; at once when that comes after the former. */
async function obey(
  lines: AsyncGenerator<string>,
  signal: AbortSignal,
  stop: () => void,
): Promise<void> {
  for await (const line of lines) if (line === STOP) stop();
  if (signal.aborted) Deno.exit(EXIT_INTERRUPTED);
  stop();
}

async function outcomeOf(
  { config, folder, resume, verbose }: ReturnType<typeof memberSettingsSchema.parse>,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    await waitForOthers(folder, signal);
    const place = resume ? { resume: folder } : { folder };
    await train(config, { ...place, verbose, signal, reporter: speakingReporter() });
    return { status: "finished" };
  } catch (thrown) {
    const error = asLockstepError(thrown);
    if (error instanceof RunCompleteError) return { status: "finished" };
    if (error instanceof InterruptedError) {
      return { status: "interrupted", message: error.message };
    }
    if (!(error instanceof LockstepError)) console.error(error);
    return { status: "failed", message: messageOf(error) };
  }
}

/**
 * Waits until no other process holds the lock of a run's folder, which the run then takes: a comparison that was killed
 * leaves runs behind that take some seconds to write their checkpoints.
 *
 * @throws {LockstepError} when another process doesn't leave it
 */
async function waitForOthers(folder: string, signal: AbortSignal): Promise<void> {
  await ensureRunFolder(folder);
  const deadline = performance.now() + TIMEOUT_MS;
  const path = join(folder, LOCK_FILE);
  while (await exists(path) && await isLocked(path)) {
    if (performance.now() > deadline) {
      throw new LockstepError(`Another process trains in ${folder}: end it first`);
    }
    await delay(200, signal);
  }
}

/** Tells whether another process has locked a file; none has where the file system knows no locks, or the file is gone. */
async function isLocked(path: string): Promise<boolean> {
  try {
    using file = await Deno.open(path, { read: true, write: true });
    return !await file.tryLock(true);
  } catch {
    return false; // the run itself tries again, and says what is wrong
  }
}

/** A reporter whose every call is a line on standard output. */
function speakingReporter(): Reporter {
  let last = -Infinity;
  return new Proxy({} as Reporter, {
    get: (_, name) => (...args: unknown[]) => {
      if (name === "progress") {
        if (performance.now() - last < PROGRESS_MS) return;
        last = performance.now();
      }
      say({ call: String(name), args });
    },
  });
}

const out = standardStream("stdout", "result");

function say(message: MemberMessage): void {
  out.write(encodeMessage(message) + "\n");
}

/**
 * How the end of a worker is told to people.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { exitWords } from "./lines.ts";
import type { WorkerExit } from "./spawn.ts";

const LINES_SHOWN = 10;

/** A worker is gone, or silent for too long. */
export class WorkerLostError extends LockstepError {
  override name = "WorkerLostError";
  readonly rank: number;
  readonly pid: number;
  /** How its process ended; undefined when it is only silent. */
  readonly exit: WorkerExit | undefined;
  /** Where it was when it was last heard of. */
  readonly place: { readonly epoch: number; readonly step: number } | undefined;

  constructor(
    message: string,
    about: Pick<WorkerLostError, "rank" | "pid" | "exit" | "place">,
  ) {
    super(message);
    this.rank = about.rank;
    this.pid = about.pid;
    this.exit = about.exit;
    this.place = about.place;
  }
}

/** How a worker ended, as the predicate of a sentence. */
export function describeExit(exit: Pick<WorkerExit, "signal" | "code">): string {
  const hint = " (by the kernel, if memory ran out: then use a smaller batch)";
  return exitWords(exit) + (exit.signal === "SIGKILL" ? hint : "");
}

/** A message followed by the last lines of a process, when there are any. */
export function withLastLines(message: string, lines: readonly string[]): string {
  const shown = lines.slice(-LINES_SHOWN).map((line) => `  | ${line}`);
  return shown.length === 0 ? message : `${message}; its last lines:\n${shown.join("\n")}`;
}

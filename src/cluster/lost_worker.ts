/**
 * Explains the loss of a worker to users.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import { EXIT_USAGE, LockstepError } from "../base/errors.ts";
import { cudaProblemIn } from "../engine/binding/cuda_problems.ts";
import { memoryCure, saysOutOfMemory } from "../engine/memory_limits.ts";
import { describeExit } from "../hosts/lines.ts";
import type { WorkerExit } from "../hosts/spawn.ts";

const LINES_SHOWN = 10;

/** Thrown when a worker has ended, or has been silent for too long. */
export class WorkerLostError extends LockstepError {
  override name = "WorkerLostError";
  readonly rank: number;
  readonly pid: number;
  /** Exit of the worker's process; undefined when the worker is only silent. */
  readonly exit: WorkerExit | undefined;
  /** The worker's place at its last heartbeat. */
  readonly place: StepKey | undefined;

  /** True when the worker ended because of what the user gave: another process would end in the same way. */
  get isInput(): boolean {
    return this.exit?.code === EXIT_USAGE;
  }

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

/** Lines of a stack trace, of JavaScript and of native code, and the frame around V8's. */
const TRACE =
  /^\s*(at (async )?(.* \(.+\)|\S+:\d+:\d+)$|#\d*\s*(0x.*|$)|=+ C stack trace|\S+\(\+0x[0-9a-f]+\) \[0x)/;

/** Explains the loss of a worker, as the predicate of a sentence. */
export function explainExit(
  exit: Pick<WorkerExit, "signal" | "code" | "memory" | "reason">,
  lines: readonly string[] = [],
): string {
  if (exit.reason !== undefined) return exit.reason;
  const isKill = exit.signal === "SIGKILL";
  const cure = memoryCure(exit.memory?.limits ?? []);
  if (isKill && exit.memory?.killed) {
    return `${describeExit(exit)} (by the kernel, as memory ran out${cure})`;
  }
  const problem = cudaProblemIn(lines.join("\n"));
  if (problem !== undefined) return `${describeExit(exit)} (${problem})`;
  if (lines.some(saysOutOfMemory)) {
    return `${describeExit(exit)} (memory ran out${cure})`;
  }
  const hint = ` (by the kernel, if memory ran out${cure})`;
  return describeExit(exit) + (isKill ? hint : "");
}

/** A message followed by the last lines of a process, if there are any, without native stack traces. */
export function withLastLines(message: string, lines: readonly string[]): string {
  const written = lines.filter((line) => line.trim() !== "" && !TRACE.test(line));
  const shown = written.slice(-LINES_SHOWN).map((line) => `  | ${line}`);
  return shown.length === 0 ? message : `${message}; its last lines:\n${shown.join("\n")}`;
}

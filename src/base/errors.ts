/**
 * Errors by meaning. Anything thrown as a {@linkcode LockstepError} is shown to the user as its message
 * alone (no stack trace unless `--verbose`) and ends the process with its exit code.
 *
 * @module
 */

import { describeSystemError, withoutDisposal } from "./system_errors.ts";

/** Exit code of a run that failed while it was working. */
export const EXIT_FAILED = 1;
/** Exit code of wrong usage: an unknown flag, a config that cannot work, a missing input. */
export const EXIT_USAGE = 2;
/** Exit code of a run that was interrupted by SIGINT (Ctrl-C). */
export const EXIT_INTERRUPTED = 130;
/** Exit code of a run that was ended by SIGTERM. */
export const EXIT_TERMINATED = 143;
/** Exit code of a run that was ended by SIGHUP: its terminal was closed. */
export const EXIT_HUNG_UP = 129;

/** A signal that asks a program to stop. */
export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Returns the exit code of a program that a signal ended: 128 plus the signal's number. */
export function exitCodeOf(signal: StopSignal): number {
  if (signal === "SIGINT") return EXIT_INTERRUPTED;
  return signal === "SIGTERM" ? EXIT_TERMINATED : EXIT_HUNG_UP;
}

/**
 * A failure whose message tells the user what is wrong, where, and how to fix it.
 *
 * Messages start with a capital and end without a period.
 *
 * @example
 * ```ts
 * import { loadCheckpoint, LockstepError, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * try {
 *   const { info } = await loadCheckpoint("runs/latest/checkpoints/best");
 *   console.log(`The best epoch is ${info.epoch}`);
 * } catch (error) {
 *   if (!(error instanceof LockstepError)) throw error;
 *   console.error(error.message); // a sentence for the user, without a stack trace
 *   Deno.exit(error.exitCode);
 * }
 * ```
 */
export class LockstepError extends Error {
  /** Name of the class, for messages. */
  override name = "LockstepError";
  /** The exit code of the process when no code handles this error. */
  readonly exitCode: number = EXIT_FAILED;
}

/**
 * Wrong usage, config or input, found before any worker starts; exit code 2.
 *
 * @example
 * ```ts
 * import { parseOverride, UsageError } from "@lockstep/lockstep";
 *
 * try {
 *   parseOverride("train.lr 0.01");
 * } catch (error) {
 *   if (!(error instanceof UsageError)) throw error;
 *   console.error(error.message); // --set train.lr 0.01 is not key=value, such as --set train.lr=0.01
 * }
 * ```
 */
export class UsageError extends LockstepError {
  /** For messages. */
  override name = "UsageError";
  /** 2. */
  override readonly exitCode: number = EXIT_USAGE;
}

/**
 * The work was ended by a signal of the system or by the caller's `AbortSignal`; exit code 130 (SIGINT), 143
 * (SIGTERM) or 129 (SIGHUP).
 *
 * @example
 * ```ts
 * import { evaluate, InterruptedError, loadCheckpoint, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const { model } = await loadCheckpoint("runs/latest/checkpoints/best");
 * try {
 *   const { accuracy } = await evaluate(model, "photos", { signal: AbortSignal.timeout(60_000) });
 *   console.log(accuracy);
 * } catch (error) {
 *   if (!(error instanceof InterruptedError)) throw error;
 *   console.error(error.message, error.cause); // the cause is the signal's reason
 * }
 * ```
 */
export class InterruptedError extends LockstepError {
  /** Name of the class, for messages. */
  override name = "InterruptedError";
  /** 130, 143 or 129. */
  override readonly exitCode: number;

  /** Makes the error of a run that was ended by `signal`. */
  constructor(message: string, signal: StopSignal = "SIGINT", options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCodeOf(signal);
  }
}

/** A file or folder can't be used, for a reason of the operating system, such as a full disk. */
export class SystemError extends LockstepError {
  /** Name of the class, for messages. */
  override name = "SystemError";
  /** Code of the operating system, such as `ENOSPC`. */
  readonly code: string;
  /** Clause such as `the disk is full`, for sentences that name the path themselves. */
  readonly reason: string;

  /** Makes the error for a code. */
  constructor(message: string, code: string, options: ErrorOptions & { reason: string }) {
    super(message, options);
    this.code = code;
    this.reason = options.reason;
  }
}

/**
 * Returns an error of the operating system as one sentence with path and cure. Any other error is returned
 * unchanged, without the `SuppressedError` around it.
 *
 * @param path Path of the file, for errors that don't name it
 */
export function asLockstepError(thrown: unknown, path?: string): unknown {
  const error = withoutDisposal(thrown);
  if (error instanceof LockstepError) return error;
  const trouble = describeSystemError(error);
  if (!trouble) return error;
  const { code, reason, cure, verb } = trouble;
  const where = path ?? trouble.path;
  const sentence = where === undefined
    ? reason.charAt(0).toUpperCase() + reason.slice(1)
    : `${where} can't be ${path === undefined ? verb : "written"}: ${reason}`;
  return new SystemError(`${sentence}; ${cure}`, code, { cause: error, reason });
}

/**
 * The message of any thrown value, for sentences that embed a cause. For an error of the operating system, the
 * message is the sentence of {@linkcode asLockstepError}.
 */
export function messageOf(thrown: unknown): string {
  const error = asLockstepError(thrown);
  if (!(error instanceof Error)) return String(error);
  return error.message.replaceAll(/ \(os error \d+\)/g, ""); // of the network, whose words say enough
}

/**
 * {@linkcode messageOf} for sentences that already name the path and the cure. For an error of the operating
 * system, it is only the reason, such as `permission is denied`.
 */
export function reasonOf(thrown: unknown): string {
  const error = withoutDisposal(thrown);
  if (error instanceof SystemError) return error.reason;
  return describeSystemError(error)?.reason ?? messageOf(error);
}

/**
 * The name among `known` that a misspelt `name` most likely meant, or `undefined` when none is close.
 *
 * Distance is Levenshtein's; close means at most a third of the longer name's length, and at least 2.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    const limit = Math.max(2, Math.floor(Math.max(name.length, candidate.length) / 3));
    if (distance <= limit && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[j] + 1, current[j - 1] + 1));
    }
    previous = current;
  }
  return previous[b.length];
}

/**
 * Detects a rank that makes no progress in a validation while its heartbeats continue: a hanging module, a stuck file
 * system. The ranks don't wait for each other there; `src/exchange/hang_watch.ts` watches their training steps.
 *
 * @module
 */
import type { Fields } from "../protocol/messages.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";

/** Milliseconds without progress after which a rank is reported. */
const REPORT_MS = 10_000;
/** Multiples of the first report's time at which a rank that still makes no progress is reported again. */
const REPORT_MULTIPLES = [1, 6, 15];
/** Milliseconds after which a rank's first computation is reported: it includes tracing and compiling the step. */
const FIRST_COMPUTATION_MS = 30_000;
/** A rank is reported no earlier than after this multiple of the longest previous time of the same part of a step. */
const TIMES_LONGEST = 3;
/** The first computation of a rank may take this multiple of the time after which others count as stuck. */
const FIRST_COMPUTATION = 3;
/** Heartbeats arrive every second; a longer gap is time without information about the rank. */
const MAX_GAP_MS = 2_000;

/** The fields of a heartbeat that show a rank's progress. */
export type Progress = Pick<
  Fields<"heartbeat">,
  "epoch" | "step" | "phase" | "sample" | "activity"
>;

/** One rank's progress, according to its heartbeats. */
export class StallWatch {
  readonly #longest = new Map<string, number>();
  #last: Progress | undefined;
  #lastHeard = 0;
  #stalledMs = 0;
  #reports = 0;

  /**
   * Processes a heartbeat.
   *
   * @param now Milliseconds of a monotonic clock
   * @returns The rank's activity that takes too long, as the predicate of a sentence; once per report
   */
  heard(progress: Progress, now: number): string | undefined {
    const last = this.#last;
    this.#last = progress;
    const gap = Math.min(now - this.#lastHeard, MAX_GAP_MS);
    this.#lastHeard = now;
    if (!last || !isSamePlace(last, progress)) {
      if (last) this.#keepLongest(last.phase);
      this.#stalledMs = 0;
      this.#reports = 0;
      return undefined;
    }
    this.#stalledMs += gap;
    if (!canStall(progress) || this.#stalledMs < this.#limit(progress)) return undefined;
    this.#reports++;
    return `has made no progress for ${Math.round(this.#stalledMs / 1000)} s: it is ${
      describeProgress(progress)
    }`;
  }

  /**
   * Tells whether the rank, which has work of its own to do, has made no progress for a time.
   *
   * @param ms That time; three times the longest one that such work has taken so far, if that is more, and three times as
   *   long for the first computation, which traces and compiles
   */
  isStuck(ms: number): boolean {
    const progress = this.#last;
    if (!progress || !hasWork(progress)) return false;
    const longest = this.#longest.get(progress.phase);
    const isFirst = progress.phase === "computing" && longest === undefined;
    const least = isFirst ? FIRST_COMPUTATION * ms : ms;
    return this.#stalledMs >= Math.max(least, TIMES_LONGEST * (longest ?? 0));
  }

  #keepLongest(phase: string): void {
    this.#longest.set(phase, Math.max(this.#stalledMs, this.#longest.get(phase) ?? 0));
  }

  #limit({ phase, sample }: Progress): number {
    const longest = this.#longest.get(phase);
    const isFirst = phase === "computing" && longest === undefined && sample === null;
    const first = isFirst ? FIRST_COMPUTATION_MS : 0;
    const multiple = REPORT_MULTIPLES[this.#reports] ?? Infinity;
    return multiple * Math.max(REPORT_MS, first, TIMES_LONGEST * (longest ?? 0));
  }
}

/** A rank's place as the end of a sentence, such as `computing in epoch 1, step 4 of training`. */
export function describeProgress({ epoch, step, phase, sample, activity }: Progress): string {
  const where = activity === WORKER_COMMANDS.validate
    ? `batch ${step} of the validation in epoch ${epoch}`
    : `epoch ${epoch}, step ${step}`;
  const what = phase === "none" ? activity : phase;
  return sample === null ? `${what} in ${where}` : `${what} in ${where}, and its data module is ` +
    `making sample ${sample}`;
}

function isSamePlace(a: Progress, b: Progress): boolean {
  return a.activity === b.activity && a.epoch === b.epoch && a.step === b.step &&
    a.phase === b.phase;
}

/** Tells whether a rank is at work on a part of the validation. */
function canStall(progress: Progress): boolean {
  return progress.activity === WORKER_COMMANDS.validate && hasWork(progress);
}

/** Commands whose phases the heartbeats show; a rank keeps its last phase when such a command is broken off. */
const WORK: readonly string[] = [WORKER_COMMANDS.trainEpoch, WORKER_COMMANDS.validate];

/** Tells whether a rank is at work itself, and waits neither for others nor for a command. */
function hasWork({ activity, phase }: Progress): boolean {
  return WORK.includes(activity) && phase !== "none" && !phase.startsWith("waiting for the ");
}

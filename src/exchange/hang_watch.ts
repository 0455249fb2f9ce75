/**
 * Watches the places of all ranks, and reports when none of them gets on.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import { describeStandstill, type ReportedRank } from "./rank_place.ts";

/** The time between two looks; a longer one is time in which this process itself stood still (a stopped job). */
const MAX_LOOK_MS = 1_000;
/** A standstill is reported no earlier than after this multiple of the longest one that has ended by itself. */
const TIMES_LONGEST = 3;
/** The first computation traces and compiles the step: it may take this multiple of the time. */
const FIRST_COMPUTATION = 3;
/** Each further report comes after this multiple of the time of the one before. */
const NEXT_REPORT = 3;

/** A rank as the watch sees it. */
export type WatchedRank = Omit<ReportedRank, "stillMs">;

/** A rank at a look. */
interface Seen {
  readonly mark: string;
  /** Milliseconds since it came to its place. */
  readonly stillMs: number;
  readonly isComputing: boolean;
  /** It has computed before: what it computes now is compiled. */
  readonly hasComputed: boolean;
}

/** Tells standstills from slow steps. */
export class HangWatch {
  readonly #afterMs: number;
  #seen: readonly Seen[] = [];
  #lastLook: number | undefined;
  /** The longest time without progress that has ended by itself, once all ranks have computed. */
  #longestMs = 0;
  #reports = 0;

  /** @param afterMs Milliseconds without any rank's progress after which a standstill is reported */
  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** Begins steps that don't follow the ones before at once: the time in between doesn't count. */
  begin(): void {
    this.#seen = this.#seen.map((rank) => ({ ...rank, mark: "" }));
    this.#lastLook = undefined;
    this.#reports = 0;
  }

  /**
   * Looks at all ranks; to be called a few times a second.
   *
   * @param now Milliseconds of a monotonic clock
   * @returns Who is where, as a sentence, when that is to be reported
   */
  look(ranks: readonly WatchedRank[], now: number): string | undefined {
    const elapsed = Math.min(now - (this.#lastLook ?? now), MAX_LOOK_MS);
    this.#lastLook = now;
    const before = this.#seen;
    const seen = this.#seen = ranks.map((rank, at) => see(rank, before[at], elapsed));
    if (seen.some(({ mark }, at) => mark !== before[at]?.mark)) {
      if (before.length > 0 && before.every(({ hasComputed }) => hasComputed)) {
        this.#longestMs = Math.max(this.#longestMs, standstillOf(before));
      }
      this.#reports = 0;
      return undefined;
    }
    if (standstillOf(seen) < this.#limitMs()) return undefined;
    this.#reports++;
    const hint = seen.some(isFirst)
      ? " (a first step takes longer, as it is traced and compiled)"
      : "";
    const reported = ranks.map((rank, at) => ({ ...rank, stillMs: itemAt(seen, at).stillMs }));
    return describeStandstill(reported) + hint;
  }

  #limitMs(): number {
    const first = this.#seen.some(isFirst) ? FIRST_COMPUTATION : 1;
    const least = Math.max(first * this.#afterMs, TIMES_LONGEST * this.#longestMs);
    return least * NEXT_REPORT ** this.#reports;
  }
}

function see(rank: WatchedRank, before: Seen | undefined, elapsed: number): Seen {
  const { epoch, step, phase, arrivals, sample = null } = rank;
  const mark = `${epoch} ${step} ${phase} ${arrivals}`;
  const isStill = mark === before?.mark;
  return {
    mark,
    stillMs: isStill ? before.stillMs + elapsed : 0,
    isComputing: phase === "computing" && sample === null,
    hasComputed: before !== undefined &&
      (before.hasComputed || (before.isComputing && !isStill)),
  };
}

/** Tells whether a rank may still be compiling. */
function isFirst({ isComputing, hasComputed }: Seen): boolean {
  return isComputing && !hasComputed;
}

function standstillOf(seen: readonly Seen[]): number {
  return Math.min(...seen.map(({ stillMs }) => stillMs));
}

/**
 * The coordinator's end of the all-reduce in shared memory. It touches no vector and sends no message: it grants the
 * steps, and reads the ranks' records of them.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { Decide, ReduceOptions, Reducer, StepTotals } from "./gradient_exchange.ts";
import { Meeting, SLOTS, type WaitOptions } from "./meeting.ts";
import type { ExchangeLink } from "./rank_end.ts";
import type { RankPlace } from "./rank_place.ts";
import type { ReducerEndOptions } from "./reducer_end.ts";
import { viewsOf } from "./shared_layout.ts";
import { COORDINATOR_TIMEOUT_MS, noAnswerFrom } from "./silence.ts";
import type { StepRecord } from "./step_record.ts";
import { addCounts, reportOf, verdictOf } from "./totals.ts";

/**
 * Milliseconds of steps that are decided ahead, where that is allowed. Longer steps are decided when the first rank has
 * contributed, so that a stop takes effect in the step in which it is asked for, and no rank waits for the decision.
 */
const AHEAD_MS = 20;
/** Short steps over which the time of a step is measured. */
const MEASURED_STEPS = 4;

/** Opens the coordinator's end; the ranks join afterwards. */
export function openReducer(
  _link: ExchangeLink,
  options: ReducerEndOptions,
  segment: Uint8Array<ArrayBuffer> | undefined,
): Promise<SharedReducer> {
  if (!segment) throw new TypeError("An exchange in shared memory without a segment");
  return Promise.resolve(new SharedReducer(options, segment));
}

/** Grants the steps of ranks that sum their vectors themselves. */
export class SharedReducer implements Reducer {
  readonly #options: ReducerEndOptions;
  readonly #meeting: Meeting;
  /** Number of steps that were reduced. */
  #reduced = 0;
  #stepMs = Infinity;
  /** The number of summed steps at the last measurement, and its time. */
  #measured = { index: 0, at: -Infinity };

  /** @param segment The mapped memory; the meeting place in it is made anew */
  constructor(options: ReducerEndOptions, segment: Uint8Array<ArrayBuffer>) {
    this.#options = options;
    const { meeting } = viewsOf(segment, { ...options, regions: 0 });
    this.#meeting = new Meeting(meeting, options.worldSize);
    this.#meeting.reset();
  }

  async reduce(
    key: StepKey,
    decide: Decide,
    { signal, ahead = 0 }: ReduceOptions = {},
  ): Promise<StepTotals> {
    signal?.throwIfAborted();
    const meeting = this.#meeting;
    const index = this.#reduced;
    const wait = this.#waitOptions(index, key, signal);
    const grant = (count: number) => this.#grantTo(index + count, index, key, decide);

    grant(Math.min(ahead, SLOTS - 2, Math.floor(AHEAD_MS / this.#stepMs)));
    if (meeting.granted <= index) {
      await (ahead > 0 ? meeting.untilBegun(index, wait) : meeting.untilContributed(index, wait));
      if (ahead === 0) this.#requireSame(key, meeting.records.of(index));
      grant(1);
    }
    // Woken when half of the steps that are granted ahead are summed: it takes as few wakes as possible.
    const wakeAt = index + Math.ceil((meeting.granted - index) / 2);
    await meeting.untilSummed(index, wakeAt, wait);
    this.#measureSteps();

    return this.#totalsOf(index, key);
  }

  settled(key: StepKey): StepTotals | undefined {
    const index = this.#reduced;
    return this.#meeting.summed > index ? this.#totalsOf(index, key) : undefined;
  }

  /** The totals of the next step, which all ranks have summed. */
  #totalsOf(index: number, key: StepKey): StepTotals {
    const records = this.#meeting.records.of(index);
    this.#requireSame(key, records);
    this.#reduced++;
    return {
      ...addCounts(records),
      ...verdictOf(records),
      action: this.#meeting.actionOf(index),
      ranks: records.map(reportOf),
    };
  }

  places(): RankPlace[] {
    const { worldSize } = this.#meeting;
    return Array.from({ length: worldSize }, (_, rank) => this.#meeting.placeOf(rank));
  }

  reported(): void {
    this.#meeting.reported();
  }

  /** Measures the time of a step over several ones: the coordinator sees some of them at once. */
  #measureSteps(): void {
    const { summed } = this.#meeting;
    const now = performance.now();
    const { index, at } = this.#measured;
    if (summed === index || (summed - index < MEASURED_STEPS && now - at < AHEAD_MS)) return;
    this.#stepMs = (now - at) / (summed - index);
    this.#measured = { index: summed, at: now };
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    this.#meeting.close(new LockstepError("The reducer was closed in the middle of a step"));
  }

  /** Decides on the steps below `end` that are not granted yet, up to one after which the ranks stop. */
  #grantTo(end: number, index: number, { epoch, step }: StepKey, decide: Decide): void {
    const meeting = this.#meeting;
    const hasStopped = () =>
      meeting.granted > index && meeting.actionOf(meeting.granted - 1) === "stop";
    while (meeting.granted < end && !hasStopped()) {
      meeting.grant(decide({ epoch, step: step + meeting.granted - index }));
    }
  }

  /** @throws {LockstepError} when a rank has another model, or is in another step */
  #requireSame(key: StepKey, records: readonly StepRecord[]): void {
    const { vectorBytes } = this.#options;
    for (const [rank, record] of records.entries()) {
      const bytes = this.#meeting.floatsOf(rank) * Float32Array.BYTES_PER_ELEMENT;
      if (bytes !== vectorBytes) {
        throw new LockstepError(
          `Rank ${rank} exchanges ${bytes} bytes, the coordinator ${vectorBytes} in shared memory: their models differ`,
        );
      }
      if (compareSteps(record, key) === 0) continue;
      throw new LockstepError(
        `Rank ${rank} is in epoch ${record.epoch}, step ${record.step}, ` +
          `the coordinator in epoch ${key.epoch}, step ${key.step}`,
      );
    }
  }

  #waitOptions(index: number, key: StepKey, signal: AbortSignal | undefined): WaitOptions {
    const { timeoutMs = COORDINATOR_TIMEOUT_MS, describe } = this.#options;
    return {
      signal,
      timeoutMs,
      silence: (seconds) => {
        const what = this.#meeting.contributed > index ? "share of the sum" : "gradients";
        return noAnswerFrom(this.#meeting.lagging(), what, key, seconds, describe);
      },
    };
  }
}

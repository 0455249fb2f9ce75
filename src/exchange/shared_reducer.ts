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
import type { ReducerEndOptions } from "./reducer_end.ts";
import { viewsOf } from "./shared_layout.ts";
import { COORDINATOR_TIMEOUT_MS, noAnswerFrom } from "./silence.ts";
import type { StepRecord } from "./step_record.ts";
import { addCounts, verdictOf } from "./totals.ts";

/**
 * Milliseconds of steps that are decided ahead, where that is allowed. Longer steps are decided when all ranks have
 * contributed, which the ranks don't notice, so that a stop takes effect in the step in which it is asked for.
 */
const AHEAD_MS = 20;

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
  #lastEnd = -Infinity;

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
      await meeting.untilContributed(index, wait);
      this.#requireSame(key, meeting.records(index));
      grant(1);
    }
    await meeting.untilSummed(index, wait);

    const records = meeting.records(index);
    this.#requireSame(key, records);
    this.#reduced++;
    const now = performance.now();
    this.#stepMs = now - this.#lastEnd;
    this.#lastEnd = now;
    return {
      ...addCounts(records),
      ...verdictOf(records),
      action: meeting.actionOf(index),
      ranks: records.map(({ samples, times }) => ({ samples, times })),
    };
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

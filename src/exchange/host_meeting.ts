/**
 * The steps of one host's ranks, as the coordinator follows them where a run has several hosts: it grants them, and hears
 * when the ranks have contributed and when they have summed. Whoever is on that host watches their shared memory.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { Meeting, type WaitOptions } from "./meeting.ts";
import { viewsOf } from "./shared_layout.ts";
import type { ExchangeShape } from "./step_buffers.ts";

/** Decisions on a step. */
export type StepAction = "continue" | "stop";

/** A step that the ranks of a host have summed. */
export interface SummedStep {
  /** Lengths of the ranks' vectors, in floats. */
  readonly floats: readonly number[];
  /** The numbers of the ranks' records, one after the other (see `step_record.ts`). */
  readonly records: Float64Array<ArrayBuffer>;
}

/** Listener to the steps of a host's ranks, which are counted from 0. */
export interface HostMeetingListener {
  /** All ranks have contributed to a step. */
  readonly onContributed: (index: number) => void;
  /** All ranks have summed a step. */
  readonly onSummed: (index: number, step: SummedStep) => void;
  /** Nothing more comes, unless the meeting was closed before. */
  readonly onFailed: (error: Error) => void;
}

/** The meeting of a host's ranks. */
export interface HostMeeting {
  /** Grants the next step. */
  grant(action: StepAction): void;
  /** The ranks that are behind others on this host, counted among its own; all of them where none is. */
  lagging?(): readonly number[];
  close(): void;
}

/** Opens the meeting of a host's ranks, which must not meet before. */
export type OpenMeeting = (listener: HostMeetingListener) => HostMeeting | Promise<HostMeeting>;

/** Follows the ranks that meet in memory of this machine. */
export class LocalMeeting implements HostMeeting {
  readonly #meeting: Meeting;
  readonly #listener: HostMeetingListener;
  #isClosed = false;
  #granted = Promise.withResolvers<void>();

  /** @param segment The mapped memory; the meeting place in it is made anew */
  constructor(
    shape: Omit<ExchangeShape, "regions">,
    segment: Uint8Array<ArrayBuffer>,
    listener: HostMeetingListener,
  ) {
    const { meeting } = viewsOf(segment, { ...shape, regions: 0 });
    this.#meeting = new Meeting(meeting, shape.worldSize);
    this.#meeting.reset();
    this.#listener = listener;
    void this.#follow();
  }

  grant(action: StepAction): void {
    this.#meeting.grant(action);
    this.#granted.resolve();
  }

  lagging(): readonly number[] {
    return this.#meeting.lagging();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#meeting.close(new LockstepError("The meeting was closed in the middle of a step"));
    this.#granted.resolve();
  }

  async #follow(): Promise<void> {
    const meeting = this.#meeting;
    // The coordinator has the time limits.
    const wait: WaitOptions = { timeoutMs: Infinity, silence: () => new Error("unreachable") };
    try {
      for (let index = 0;; index++) {
        await meeting.untilContributed(index, wait);
        if (this.#isClosed) return;
        this.#listener.onContributed(index);
        while (meeting.granted <= index) {
          await this.#granted.promise;
          if (this.#isClosed) return;
          this.#granted = Promise.withResolvers();
        }
        await meeting.untilSummed(index, index + 1, wait);
        const ranks = Array.from({ length: meeting.worldSize }, (_, rank) => rank);
        this.#listener.onSummed(index, {
          floats: ranks.map((rank) => meeting.floatsOf(rank)),
          records: meeting.records.copy(index),
        });
      }
    } catch (error) {
      if (!this.#isClosed) this.#listener.onFailed(error as Error);
    }
  }
}

/**
 * A rank's report of a standstill in shared memory: the coordinator makes it first, unless it stands still itself.
 *
 * @module
 */
import { HangWatch } from "./hang_watch.ts";
import type { Meeting } from "./meeting.ts";
import type { HangOptions } from "./rank_end.ts";
import { isWaiting } from "./rank_place.ts";

/** Later than the coordinator, which knows more: by this factor. */
const LATER = 1.2;

/** Watches all ranks while this one waits. */
export class RankHangs {
  readonly #meeting: Meeting;
  readonly #rank: number;
  readonly #watch: HangWatch;
  readonly #onReport: HangOptions["onReport"];

  constructor(meeting: Meeting, rank: number, { afterMs, onReport }: HangOptions) {
    this.#meeting = meeting;
    this.#rank = rank;
    this.#watch = new HangWatch(LATER * afterMs);
    this.#onReport = onReport;
  }

  /** Begins a wait; returns what is to be called a few times a second while it sleeps. */
  beginWait(): () => void {
    const meeting = this.#meeting;
    let { reports } = meeting;
    let isBegun = false;
    return () => {
      if (!isBegun) this.#watch.begin();
      isBegun = true;
      const ranks = Array.from({ length: meeting.worldSize }, (_, rank) => ({
        ...meeting.placeOf(rank),
        rank,
        name: `Rank ${rank}`,
      }));
      const report = this.#watch.look(ranks, performance.now());
      const isOthers = meeting.reports !== reports;
      if (!report || isOthers || ranks.findIndex(isWaiting) !== this.#rank) return;
      meeting.reported();
      reports = meeting.reports;
      this.#onReport(report);
    };
  }
}

/**
 * Summarizes training steps as points of `metrics.jsonl`: means since the previous point.
 *
 * @module
 */
import { perStepPart, type StepPart } from "../../base/step_times.ts";
import type { RankReport } from "../../exchange/gradient_exchange.ts";
import type { MetricsPoint, RankMetrics } from "../../records/metrics_log.ts";
import type { PendingSums } from "../../checkpoint/checkpoint.ts";
import type { EpochTotals } from "../epochs/drive_epoch.ts";

/** The position of a point, and its values that are not means over its steps. */
export type PointHeader = Pick<MetricsPoint, "epoch" | "step" | "examples" | "learningRate">;

/** The parts of a step that are reported with the next step's contribution. */
const LATE = ["exchange", "update"] as const;

/** Sums over steps, each with the number of its steps. */
class Mean {
  #sum = 0;
  #count = 0;
  /** The last mean, for points whose steps report no value, such as the only step of an epoch. */
  #last = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  take(): number {
    if (this.#count > 0) this.#last = rounded(this.#sum / this.#count);
    this.#sum = this.#count = 0;
    return this.#last;
  }
}

/** Resolution of the values: clocks are not more precise, and lines stay short. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

const partMeans = () => perStepPart(() => new Mean());

/** Adds up the reports of the ranks on each step. */
export class StepMeter {
  #ranks: { samples: number; ms: ReturnType<typeof partMeans> }[] = [];
  readonly #exchange = new Mean();
  readonly #idle = new Mean();
  readonly #now: () => number;
  #sums: EpochTotals = nothing();
  #since = 0;
  /** Seconds before `#since` that belong to the present sums. */
  #earlier = 0;
  #isFirst = true;

  /** @param now A clock in milliseconds */
  constructor(worldSize: number, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#measure(worldSize);
  }

  /** Sums since the last point, for a checkpoint; `undefined` when there are none. */
  get pending(): PendingSums | undefined {
    if (this.#sums.count === 0) return undefined;
    const ranks = this.#ranks.map(({ samples }) => samples);
    return { ...this.#sums, ranks, seconds: this.#seconds() };
  }

  /** Continues from the sums of a checkpoint. With another number of workers, the sums of the ranks begin at 0. */
  restore({ ranks, seconds, ...sums }: PendingSums): void {
    this.#sums = { ...sums };
    this.#earlier = seconds;
    if (ranks.length !== this.#ranks.length) return;
    ranks.forEach((samples, rank) => this.#ranks[rank].samples = samples);
  }

  /** Called when steps begin after a pause: a validation, or the start of the run. */
  begin(): void {
    this.#since = this.#now();
    this.#isFirst = true;
  }

  /**
   * Called after each step. Where the number of ranks has changed, what single ranks did since the last point is
   * forgotten.
   */
  add(sums: EpochTotals, reports: readonly RankReport[]): void {
    if (reports.length !== this.#ranks.length) this.#measure(reports.length);
    for (const key of ["lossSum", "weight", "correct", "count"] as const) {
      this.#sums[key] += sums[key];
    }
    reports.forEach(({ samples, times }, rank) => {
      const own = this.#ranks[rank];
      if (!own) return; // of a step before the run went on with fewer workers
      own.samples += samples;
      if (!times) return;
      own.ms.data.add(times.data);
      own.ms.forwardBackward.add(times.forwardBackward);
      // The first step after a pause has no predecessor.
      if (!this.#isFirst) { for (const part of LATE) own.ms[part].add(times[part]); }
    });
    const waits = reports.flatMap(({ times }) => times?.exchange ?? []);
    if (!this.#isFirst && waits.length > 0) this.#addWaits(waits);
    this.#isFirst = false;
  }

  /** The point of the steps since the last one; `undefined` when they had no samples. */
  take(place: PointHeader, more: Pick<MetricsPoint, "gpus"> = {}): MetricsPoint | undefined {
    const { lossSum, weight, correct, count } = this.#sums;
    if (weight === 0) return undefined;
    const seconds = Math.max(1e-6, this.#seconds());
    const ranks = this.#ranks.map((own, rank) => rankPoint(own, rank, seconds));
    const meanOf = (part: StepPart) =>
      rounded(ranks.reduce((sum, { ms }) => sum + ms[part], 0) / ranks.length);
    const ms = {
      data: meanOf("data"),
      forwardBackward: meanOf("forwardBackward"),
      exchange: this.#exchange.take(),
      idle: this.#idle.take(),
      update: meanOf("update"),
    };
    this.#sums = nothing();
    this.#since = this.#now();
    this.#earlier = 0;
    return {
      time: new Date().toISOString(),
      ...place,
      loss: lossSum / weight,
      accuracy: count > 0 ? correct / count : NaN,
      imagesPerSecond: rounded(count / seconds),
      ms: { ...ms, total: rounded(Object.values(ms).reduce((sum, part) => sum + part, 0)) },
      ranks,
      ...more,
    };
  }

  #measure(worldSize: number): void {
    this.#ranks = Array.from({ length: worldSize }, () => ({ samples: 0, ms: partMeans() }));
  }

  #seconds(): number {
    return this.#earlier + (this.#now() - this.#since) / 1000;
  }

  #addWaits(waits: readonly number[]): void {
    const least = Math.min(...waits);
    this.#exchange.add(least);
    this.#idle.add(waits.reduce((sum, wait) => sum + wait, 0) / waits.length - least);
  }
}

function nothing(): EpochTotals {
  return { lossSum: 0, weight: 0, correct: 0, count: 0 };
}

function rankPoint(
  own: { samples: number; ms: ReturnType<typeof partMeans> },
  rank: number,
  seconds: number,
): RankMetrics {
  const { samples, ms } = own;
  own.samples = 0;
  return {
    rank,
    samples,
    imagesPerSecond: rounded(samples / seconds),
    ms: perStepPart((part) => ms[part].take()),
  };
}

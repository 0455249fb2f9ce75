/**
 * The view that a training step has of the other workers: their vectors are added, each rank works on its
 * part of the sum, and all ranks get the results of all parts.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import type { StepKey } from "../base/step_key.ts";
import type { StepTimes } from "../base/step_times.ts";
import type { NarrowDtype } from "./narrow.ts";

/** One rank's contribution to a step. */
export interface StepContribution {
  readonly epoch: number;
  readonly step: number;
  /** Samples behind the vector; with 0 the vector is ignored. */
  readonly samples: number;
  /** Float32 values, little-endian; must stay as it is until the call returns. */
  readonly vector: Uint8Array;
  /** The weight of this rank's gradients among the others': the sum of its samples' weights. */
  readonly weight: number;
  /** Sum of the samples' losses, each times its weight. */
  readonly lossSum: number;
  /** Samples that were classified rightly. */
  readonly correct: number;
  /**
   * Samples that count in the running statistics, which are at the end of the vector; all unless given. With
   * 0 this rank's statistics are ignored.
   */
  readonly statisticsRows?: number;
  /** Forward passes whose statistics count (default 0). */
  readonly trackedBatches?: number;
  /**
   * Called with each rank's range of the sum, in the order of the ranks, wherever its sum is at hand; its numbers are
   * added up over all ranges, and may change the sum.
   */
  readonly measure?: (range: FloatRange) => number;
  /**
   * The memory for this rank's part of the sum in place of {@linkcode GradientExchange.reduced}: as long as
   * the vector. A region has the whole sum when the call returns, and there is nothing left to gather.
   */
  readonly target?: Uint8Array<ArrayBuffer>;
  /** The durations of the step's phases so far; those of later phases are from the step before. */
  readonly times?: StepTimes;
}

/** The result of all ranks together; the same on every rank, bit for bit. */
export interface StepResult {
  readonly samples: number;
  /** With 0 there is nothing to learn from: the gradients are 0. */
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  /** Samples behind the running statistics; with 0 those in the sum mean nothing. */
  readonly statisticsRows: number;
  /** `stop`: take this step, then stop training. */
  readonly action: "continue" | "stop";
  /** True if the vector and the loss are free of NaN and infinity; if not, the step must not be taken. */
  readonly finite: boolean;
  /** Sum over the ranks' ranges, in order, of the values that `measure` returned; 0 without it. */
  readonly measure: number;
}

/** An all-reduce over the workers of a run, in its two halves. */
export interface GradientExchange {
  /** Memory for this rank's vector: a vector in this memory isn't copied on its way. */
  readonly vector: Uint8Array;
  /**
   * After {@linkcode reduceScatter}: float32 values, little-endian, the sum over the ranks r, in their order, of
   * (w_r / W) · vector_r, with weights w_r that add up to W: the samples' weights for gradients (all 0 where W is 0),
   * the rows that count for the running statistics behind them; as far as {@linkcode shard} goes. This rank's own
   * until the next call; may be the memory of its vector.
   */
  readonly reduced: Uint8Array<ArrayBuffer>;
  /** The part of the sum that this rank gets: all of it where every rank gets it. */
  readonly shard: FloatRange;
  /**
   * Vectors for the ranks' results: each rank writes its shard, and sees all shards after
   * {@linkcode allGather}.
   */
  readonly regions: readonly Uint8Array<ArrayBuffer>[];
  /**
   * Declares a part of this rank's next contribution final, so that this part may travel while the rest is
   * computed: the vector from float `begin` on, and all values outside the vector. May be called any number
   * of times with a falling `begin`; then {@linkcode reduceScatter} follows, which throws the errors of the
   * meantime. Missing in exchanges that would gain nothing from it.
   */
  offer?(contribution: StepContribution, begin: number): void;
  /**
   * Brings this rank's contribution and waits for the sum. Calls follow each other, never overlap.
   *
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  reduceScatter(contribution: StepContribution, signal?: AbortSignal): Promise<StepResult>;
  /**
   * Announces that this rank has written its shard of the regions, and waits until all have. To be called by
   * all ranks or by none, after a {@linkcode reduceScatter} that was finite.
   *
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  allGather(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The totals of a step, as the coordinator sees them. */
export interface StepTotals {
  readonly samples: number;
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  /** Samples behind the running statistics. */
  readonly statisticsRows: number;
  /** Forward passes whose statistics count, of the rank that has most. */
  readonly trackedBatches: number;
  readonly finite: boolean;
  /** The first rank whose own loss or vector is not finite, when there is one. */
  readonly worstRank?: number | undefined;
  /** That rank's vector was finite, but has values that are too large for this dtype, in which it travelled. */
  readonly tooLargeFor?: NarrowDtype | undefined;
  readonly action: "continue" | "stop";
  /** Each rank's report of itself, in order. */
  readonly ranks: readonly RankReport[];
}

/** One rank's part of a step, for people who watch. */
export interface RankReport {
  readonly samples: number;
  /** As in {@linkcode StepContribution}. */
  readonly times: StepTimes | undefined;
}

/** The coordinator's end of an all-reduce. */
export interface Reducer {
  /**
   * Takes part in one step: waits for all ranks, has their vectors summed, then sends them the result with
   * `decide()`'s action. Contributions that came before the call are used.
   *
   * @throws {LockstepError} When a rank keeps silent for too long, is in another step, or sends damaged data
   *   again and again
   * @throws The signal's reason when it fires
   */
  reduce(
    key: StepKey,
    decide: () => "continue" | "stop",
    signal?: AbortSignal,
  ): Promise<StepTotals>;
  close(): Promise<void>;
}

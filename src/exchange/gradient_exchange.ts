/**
 * The view that a training step has of the other workers: their vectors are added, each rank works on its
 * part of the sum, and all ranks get the results of all parts.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import type { StepKey } from "../base/step_key.ts";
import type { StepTimes } from "../base/step_times.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import type { NarrowDtype } from "./narrow.ts";
import type { RankPlace } from "./rank_place.ts";

/** One rank's contribution to a step, beside the vector in its buffers. */
export interface StepContribution extends StepKey {
  /** Samples behind the vector; with 0 the vector is ignored. */
  readonly samples: number;
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
  /**
   * False where this rank's vector is known to hold NaN or infinity. A rank that computes on a GPU finds out there; the
   * others leave it to the exchange.
   */
  readonly finite?: boolean;
  /** Forward passes whose statistics count (default 0). */
  readonly trackedBatches?: number;
  /** The durations of the step's phases so far; those of later phases are from the step before. */
  readonly times?: StepTimes;
  /** A number for the bits of the rank's replica before the step, above 0; in steps in which replicas are compared. */
  readonly digest?: number;
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
  /** Sum of the squares of the summed gradients, as far as the ranks have brought them to {@linkcode GradientExchange.agree}. */
  readonly squares: number;
}

/**
 * An all-reduce over the workers of a run. It works on buffers (see `step_buffers.ts`) that it is given once, when it
 * is opened. A step is a call of each method, in this order; calls never overlap.
 */
export interface GradientExchange {
  /** True where vectors stay on the devices, so that gradients go out in buckets of `nccl.bucketSize`. */
  readonly sumsOnDevice?: boolean;
  /**
   * Declares a part of this rank's next contribution final, so that this part may travel while the rest is
   * computed: the vector from float `begin` on, and all values outside the vector. May be called any number
   * of times with a falling `begin`; then {@linkcode reduceScatter} follows, which throws the errors of the
   * meantime. Missing in exchanges that would gain nothing from it.
   */
  offer?(contribution: StepContribution, begin: number): void;
  /**
   * Brings this rank's contribution and waits for the sum. The vector must stay as it is until then.
   *
   * @returns The ranges of the sum that are at hand here and may be changed, in the order of the ranks whose shards
   *   they are; none where they are not finite
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]>;
  /**
   * Brings what this rank makes of its ranges of the sum, and waits until all ranks know the step's result.
   *
   * @param squares Sum of the squares of the gradients in the ranges of {@linkcode reduceScatter}, added range by
   *   range; 0 where nobody needs it
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  agree(squares: number, signal?: AbortSignal): Promise<StepResult>;
  /**
   * Announces that this rank has written its shard of the regions, and waits until all have. To be called by
   * all ranks or by none, after a result that is finite.
   *
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  allGather(signal?: AbortSignal): Promise<void>;
  /**
   * Sums a small vector over the ranks, in rank order, in place: within a step, before {@linkcode reduceScatter}. Every
   * rank calls it as often, with vectors of the same lengths, between the same calls.
   *
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  allReduce(values: Float64Array, signal?: AbortSignal): Promise<void>;
  /**
   * Notes the part of a step that this rank is in outside of the calls above, for the reports of others when nobody
   * gets on. Missing in exchanges that have no place for it.
   */
  enter?(step: StepKey, phase: StepPhase): void;
  /**
   * Ends it; calls that are still waiting fail.
   *
   * @param alone True where the other ranks may be gone: nothing is ended together with them
   */
  close(alone?: boolean): Promise<void>;
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
  readonly tooLargeFor?: NarrowDtype;
  readonly action: "continue" | "stop";
  /** Each rank's report of itself, in order. */
  readonly ranks: readonly RankReport[];
}

/** One rank's part of a step, for people who watch. */
export interface RankReport {
  readonly samples: number;
  /** As in {@linkcode StepContribution}. */
  readonly times: StepTimes | undefined;
  /** As in {@linkcode StepContribution}. */
  readonly digest?: number | undefined;
}

/** Decides on a step; called once for each step, in their order. `stop` makes the step the last one. */
export type Decide = (step: StepKey) => "continue" | "stop";

/** Options of a step. */
export interface ReduceOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Steps, this one included, that may be decided on before the ranks have contributed to them. They are steps of the
   * same epoch, without gaps. 0, the default: a step is decided on when all have contributed.
   */
  readonly ahead?: number;
}

/** The coordinator's end of an all-reduce. */
export interface Reducer {
  /**
   * Takes part in one step: waits until all ranks have contributed, decides on the step, and waits until the vectors
   * are summed. Contributions that came before the call are used.
   *
   * @throws {LockstepError} When a rank keeps silent for too long, is in another step, has another model, or sends
   *   damaged data again and again
   * @throws The signal's reason when it fires
   */
  reduce(key: StepKey, decide: Decide, options?: ReduceOptions): Promise<StepTotals>;
  /**
   * Returns the totals of the step after the last one that {@linkcode reduce} has returned, where all ranks have made
   * its sum already: for the books of a run whose ranks are lost. Missing in exchanges whose ranks never are ahead.
   */
  settled?(key: StepKey): StepTotals | undefined;
  /** The place that each rank has noted, in order. Missing in exchanges that know no more than the heartbeats. */
  places?(): readonly RankPlace[];
  /** Notes that a standstill was reported, so that the ranks don't report it, too. */
  reported?(): void;
  /** Ends it; a call that is still waiting fails. */
  close(): Promise<void>;
}

/**
 * What a training step sees of the other workers: one call that turns this rank's vector into everybody's.
 *
 * @module
 */

/** Milliseconds of the parts of one rank's step; they add up to the step. */
export interface RankTimes {
  /** Waiting for the next batch. */
  readonly data: number;
  readonly forwardBackward: number;
  /** The all-reduce, waiting for slower ranks included. */
  readonly exchange: number;
  readonly update: number;
}

/** What one rank brings to a step. */
export interface StepContribution {
  readonly epoch: number;
  readonly step: number;
  /** Samples behind the vector; with 0 the vector is ignored. */
  readonly samples: number;
  /** Float32 values, little-endian; must stay as it is until the call returns. */
  readonly vector: Uint8Array;
  /** What this rank's vector counts among the others: the sum of its samples' weights. */
  readonly weight: number;
  /** Sum of the samples' losses, each times its weight. */
  readonly lossSum: number;
  /** Samples that were classified rightly. */
  readonly correct: number;
  /** How long the step has taken so far; `exchange` and `update` are those of the step before. */
  readonly times?: RankTimes;
}

/** What all ranks made together; the same on every rank, bit for bit. */
export interface StepResult {
  /**
   * Float32 values, little-endian: the sum over the ranks r, in their order, of (w_r / W) · vector_r, with
   * weights w_r that add up to W. Valid until the next call.
   */
  readonly vector: Uint8Array;
  readonly samples: number;
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  /** `stop`: take this step, then stop training. */
  readonly action: "continue" | "stop";
  /** Whether the vector and the loss are free of NaN and infinity; if not, the step must not be taken. */
  readonly finite: boolean;
}

/** An all-reduce over the workers of a run. */
export interface GradientExchange {
  /** Memory for this rank's vector: one that stands here isn't copied on its way. */
  readonly vector: Uint8Array;
  /**
   * Brings this rank's contribution and waits for everybody's. Calls follow each other, never overlap.
   *
   * @throws {LockstepError} When others keep silent for too long
   * @throws The signal's reason when it fires
   */
  allReduce(contribution: StepContribution, signal?: AbortSignal): Promise<StepResult>;
  close(): Promise<void>;
}

/** The totals of a step, as the coordinator sees them. */
export interface StepTotals {
  readonly samples: number;
  readonly weight: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly finite: boolean;
  /** The first rank whose own loss or vector is not finite, when there is one. */
  readonly worstRank?: number;
  readonly action: "continue" | "stop";
  /** What each rank said of itself, in order. */
  readonly ranks: readonly RankReport[];
}

/** One rank's part of a step, for people who watch. */
export interface RankReport {
  readonly samples: number;
  /** As in {@linkcode StepContribution}. */
  readonly times: RankTimes | undefined;
}

/** The coordinator's end of an all-reduce. */
export interface Reducer {
  /**
   * Takes part in one step: waits for all ranks, has their vectors summed, then tells them the result with
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

/** A step's place in the run; later steps compare greater, epoch first. */
export interface StepKey {
  readonly epoch: number;
  readonly step: number;
}

/** Negative, 0 or positive as `a` lies before, at or after `b`. */
export function compareSteps(a: StepKey, b: StepKey): number {
  return a.epoch - b.epoch || a.step - b.step;
}

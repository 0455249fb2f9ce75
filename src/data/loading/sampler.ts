/**
 * The samples that each rank takes in each step of an epoch: a pure function of (seed, epoch, rank, number of
 * workers), so that nobody has to send indices around.
 *
 * @module
 */
import { randomPermutation, randomStream } from "../../base/random.ts";

/** The options of {@linkcode planEpoch}. */
export interface EpochPlanOptions {
  /** Samples of the data set. */
  length: number;
  /** Samples per step over all ranks; the last step takes what is left, unless `dropLast` is set. */
  globalBatch: number;
  /** This worker, from 0. */
  rank: number;
  /** Number of workers. */
  worldSize: number;
  seed: number;
  epoch: number;
  /** A new order in each epoch; `false` keeps the data set's order. */
  shuffle: boolean;
  /** Leave out the last step where it would be smaller than the others, as PyTorch's `drop_last` (default false). */
  dropLast?: boolean;
  /** Steps before this one are left out: for going on in mid-epoch. */
  startStep?: number;
}

/** One step of one rank. */
export interface EpochStep {
  /** Counts from 0 in each epoch. */
  step: number;
  /** This rank's samples: a contiguous share of the step's; empty when there are fewer than ranks. */
  indices: Uint32Array;
  /** Samples of this step over all ranks. */
  globalRows: number;
  /** The position among the step's samples at which this rank's share begins. */
  rowOffset: number;
  /**
   * The sample before this rank's first one among the step's, whose last comes before its first: mixing
   * takes each row's partner from the row before it.
   */
  partnerIndex: number;
}

/**
 * Plans an epoch for one rank. Over all ranks each sample comes exactly once, in an order that depends on
 * seed and epoch but not on the number of ranks; with `dropLast` those of the last, smaller step don't come.
 *
 * @throws {RangeError} when a number is out of its range
 */
export function planEpoch(options: EpochPlanOptions): EpochStep[] {
  const { length, globalBatch, rank, worldSize, seed, epoch, shuffle } = options;
  const { dropLast = false, startStep = 0 } = options;
  requireInteger("length", length, 0);
  requireInteger("globalBatch", globalBatch, 1);
  requireInteger("worldSize", worldSize, 1);
  requireInteger("rank", rank, 0, worldSize - 1);
  requireInteger("startStep", startStep, 0);
  const order = shuffle
    ? randomPermutation(randomStream(seed, "shuffle", epoch), length)
    : Uint32Array.from({ length }, (_, index) => index);
  const plan: EpochStep[] = [];
  const steps = stepsPerEpoch(length, globalBatch, dropLast);
  for (let step = startStep; step < steps; step++) {
    const first = step * globalBatch;
    const globalRows = Math.min(globalBatch, length - first);
    const { rows, rowOffset } = shareOf(globalRows, rank, worldSize);
    const indices = order.subarray(first + rowOffset, first + rowOffset + rows);
    const partnerIndex = order[first + (rowOffset + globalRows - 1) % globalRows]!;
    plan.push({ step, indices, globalRows, rowOffset, partnerIndex });
  }
  return plan;
}

/** Steps of an epoch. */
export function stepsPerEpoch(length: number, globalBatch: number, dropLast = false): number {
  return dropLast ? Math.floor(length / globalBatch) : Math.ceil(length / globalBatch);
}

/** Samples of an epoch's steps. */
export function samplesPerEpoch(length: number, globalBatch: number, dropLast = false): number {
  return dropLast ? length - length % globalBatch : length;
}

/** A rank's contiguous share of `globalRows` rows: when they don't divide, the first ranks get one more. */
export function shareOf(
  globalRows: number,
  rank: number,
  worldSize: number,
): { rows: number; rowOffset: number } {
  const least = Math.floor(globalRows / worldSize);
  const larger = globalRows % worldSize;
  return {
    rows: least + (rank < larger ? 1 : 0),
    rowOffset: rank * least + Math.min(rank, larger),
  };
}

function requireInteger(name: string, value: number, least: number, most = Infinity): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const limits = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new RangeError(`${name} is ${value}, but must be a whole number ${limits}`);
  }
}

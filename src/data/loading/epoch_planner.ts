/**
 * The plans of all epochs of one list of samples: which samples come in which step, for whoever asks.
 *
 * @module
 */
import { LazyList, type List } from "../../base/lazy_list.ts";
import { ONLY_RANK, type RankInfo } from "../../base/rank_info.ts";
import { type EpochStep, planEpoch, samplesPerEpoch, stepsPerEpoch } from "./sampler.ts";

/** A list of samples, and the way in which an epoch goes through it. */
export interface PlannerOptions {
  /** Samples of the list. */
  readonly length: number;
  /** Samples per step over all ranks. */
  readonly globalBatch: number;
  /** Gives the samples another order in each epoch; without it they keep their own. */
  readonly shuffle?: { readonly seed: number };
  /** Leaves out the last step where it would be smaller than the others (default false). */
  readonly dropLast?: boolean;
}

/** Plans epochs of one list of samples. Equal options give equal plans, in each process of a run. */
export class EpochPlanner {
  readonly length: number;
  readonly globalBatch: number;
  /** Steps of each epoch. */
  readonly stepsPerEpoch: number;
  /** Samples of each epoch: all of the list, unless the last step is left out. */
  readonly samplesPerEpoch: number;
  readonly #shuffle: PlannerOptions["shuffle"];
  readonly #dropLast: boolean;

  constructor({ length, globalBatch, shuffle, dropLast = false }: PlannerOptions) {
    this.length = length;
    this.globalBatch = globalBatch;
    this.#shuffle = shuffle;
    this.#dropLast = dropLast;
    this.stepsPerEpoch = stepsPerEpoch(length, globalBatch, dropLast);
    this.samplesPerEpoch = samplesPerEpoch(length, globalBatch, dropLast);
  }

  /**
   * A rank's share of each step of an epoch.
   *
   * @param epoch Decides the order, with the seed; any number where the samples keep theirs
   * @param startStep Steps before this one are left out
   * @throws {RangeError} when a number is out of its range
   */
  steps(epoch: number, { rank, worldSize }: RankInfo = ONLY_RANK, startStep = 0): EpochStep[] {
    return planEpoch({
      length: this.length,
      globalBatch: this.globalBatch,
      dropLast: this.#dropLast,
      rank,
      worldSize,
      seed: this.#shuffle?.seed ?? 0,
      epoch,
      shuffle: this.#shuffle !== undefined,
      startStep,
    });
  }

  /** The rows of an epoch one by one, each as a share of its step with its own partner. */
  rows(epoch: number): List<EpochStep> {
    const steps = this.steps(epoch);
    return new LazyList(this.samplesPerEpoch, (at) => {
      const row = at % this.globalBatch;
      const { indices, ...step } = steps[(at - row) / this.globalBatch]!;
      return {
        ...step,
        indices: indices.subarray(row, row + 1),
        rowOffset: row,
        partnerIndex: indices.at(row - 1)!,
      };
    });
  }
}

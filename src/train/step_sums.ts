/**
 * Results of a step's function, added up over the parts of a rank's batch and written into the vector.
 *
 * @module
 */
import { bytesIn } from "../base/float_range.ts";
import { tf } from "../engine/tf.ts";
import { readInto } from "../engine/transfer.ts";
import type { ReplicaState } from "./replica_state.ts";

/** Totals of a rank's share of a batch. */
export interface LocalTotals {
  /** Sum of the samples' losses, each times its weight. */
  readonly lossSum: number;
  /** Sum of the samples' weights: what the loss is a mean over. */
  readonly weight: number;
  /** Samples whose highest logit is their label's. */
  readonly correct: number;
  /** Samples that count in the running statistics of BatchNorm. */
  readonly statisticsRows: number;
  /** Forward passes whose statistics count: one for each part of the batch. */
  readonly trackedBatches: number;
}

/** The totals of a rank without samples. */
export const NO_TOTALS: LocalTotals = {
  lossSum: 0,
  weight: 0,
  correct: 0,
  statisticsRows: 0,
  trackedBatches: 0,
};

/** The subset of `ReplicaState` that the sums need. */
export type SumState = Pick<ReplicaState, "learning" | "exchanged" | "layout" | "buffers">;

/** The results of a step's function: the sum of the losses, the number of right ones, then the gradients. */
export const RESULTS = { lossSum: 0, correct: 1, gradients: 2 };

/** The sums of one step. */
export class StepSums implements Disposable {
  readonly #state: SumState;
  readonly #totals: { -readonly [Key in keyof LocalTotals]: number };
  /** Sums that are not in the vector yet. */
  readonly #gradients: (tf.Tensor | undefined)[] = [];
  readonly #written: boolean[];
  #begin: number;
  #hasStatistics = false;

  /** @param known Totals that are known before anything is computed */
  constructor(
    state: SumState,
    known: Pick<LocalTotals, "weight" | "statisticsRows" | "trackedBatches">,
  ) {
    this.#state = state;
    this.#totals = { ...NO_TOTALS, ...known };
    this.#begin = state.learning.length;
    this.#written = new Array(this.#begin).fill(false);
  }

  get totals(): LocalTotals {
    return { ...this.#totals };
  }

  /** The float of the vector from which on it is final. */
  get begin(): number {
    const { places, floats } = this.#state.layout;
    return this.#begin === 0 ? 0 : places[this.#begin]?.begin ?? floats;
  }

  /**
   * Adds results, which it takes over. The variables have the values that the step's function gave them.
   *
   * @param isLast No part of the batch follows this one's: gradients and running statistics go into the vector
   */
  add(results: ReadonlyMap<number, tf.Tensor>, isLast: boolean): void {
    for (const [result, tensor] of results) {
      if (result === RESULTS.lossSum) this.#totals.lossSum += scalarOf(tensor);
      else if (result === RESULTS.correct) this.#totals.correct += scalarOf(tensor);
      else this.#addGradient(result - RESULTS.gradients, tensor, isLast);
    }
    if (isLast && !this.#hasStatistics) this.#writeStatistics();
  }

  #addGradient(index: number, gradient: tf.Tensor, isLast: boolean): void {
    const before = this.#gradients[index];
    const sum = before ? tf.add(before, gradient) : gradient;
    if (before) tf.dispose([before, gradient]);
    this.#gradients[index] = sum;
    if (!isLast) return;
    this.#write(index, sum);
    this.#gradients[index] = undefined;
    sum.dispose();
    this.#written[index] = true;
    while (this.#written[this.#begin - 1]) this.#begin--;
  }

  /** Those of the layers that are training. */
  #writeStatistics(): void {
    const { exchanged, learning } = this.#state;
    exchanged.slice(learning.length).forEach((variable, index) =>
      this.#write(learning.length + index, variable)
    );
    this.#hasStatistics = true;
  }

  #write(index: number, tensor: tf.Tensor): void {
    const { buffers: { vector }, layout: { places } } = this.#state;
    readInto(tensor, bytesIn(vector, places[index]));
  }

  /** Releases what isn't in the vector. */
  [Symbol.dispose](): void {
    for (const gradient of this.#gradients) gradient?.dispose();
  }
}

function scalarOf(tensor: tf.Tensor): number {
  const [value] = tensor.dataSync();
  tensor.dispose();
  return value;
}

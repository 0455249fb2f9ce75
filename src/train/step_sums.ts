/**
 * Results of a step's function, added up over the parts of a rank's batch and written into the vector.
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import { tf } from "../engine/tf.ts";
import { readAsync } from "../engine/transfer.ts";
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
export type SumState = Pick<ReplicaState, "learning" | "exchanged" | "layout" | "store">;

/** The results of a step's function: the sum of the losses and the number of right ones [2], then the gradients. */
export const RESULTS = { record: 0, gradients: 1 };

/** The sums of one step. */
export class StepSums implements Disposable {
  readonly #state: SumState;
  readonly #totals: { -readonly [Key in keyof LocalTotals]: number };
  readonly #records: tf.Tensor[] = [];
  readonly #written: boolean[];
  #begin: number;
  #isFirst = true;
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

  /** Reads the totals of all results that were added. */
  async totals(): Promise<LocalTotals> {
    for (const record of this.#records.splice(0)) {
      const [lossSum, correct] = await readAsync(record);
      this.#totals.lossSum += lossSum;
      this.#totals.correct += correct;
      record.dispose();
    }
    return { ...this.#totals };
  }

  /** The float of the vector from which on it is final. */
  get begin(): number {
    const { places, floats } = this.#state.layout;
    return this.#begin === 0 ? 0 : places[this.#begin]?.begin ?? floats;
  }

  /**
   * Adds results of a part of the batch, which it takes over. The variables have the values that the step's function
   * gave them.
   *
   * @param isLast No part follows this one: the vector is final where results have come, and running statistics go
   *   into it
   */
  async add(results: ReadonlyMap<number, tf.Tensor>, isLast: boolean): Promise<void> {
    const gradients = new Map<number, tf.Tensor>();
    for (const [result, tensor] of results) {
      if (result === RESULTS.record) this.#records.push(tensor);
      else gradients.set(result - RESULTS.gradients, tensor);
    }
    const { store } = this.#state;
    try {
      await (this.#isFirst ? store.put(gradients) : store.add(gradients));
    } finally {
      tf.dispose([...gradients.values()]);
    }
    if (!isLast) {
      this.#isFirst = false;
      return;
    }
    for (const index of gradients.keys()) this.#written[index] = true;
    while (this.#written[this.#begin - 1]) this.#begin--;
    if (this.#hasStatistics) return;
    this.#hasStatistics = true;
    faultPoint("gradients");
    await this.#putStatistics();
  }

  /** Those of the layers that are training. */
  async #putStatistics(): Promise<void> {
    const { exchanged, learning, store } = this.#state;
    await store.put(new Map([...exchanged.entries()].slice(learning.length)));
  }

  /** Releases what wasn't read. */
  [Symbol.dispose](): void {
    tf.dispose(this.#records);
  }
}

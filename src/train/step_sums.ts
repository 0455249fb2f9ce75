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
  /** False where the vector holds NaN or infinity; a GPU finds out, on the CPU the exchange does. */
  readonly finite?: boolean;
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
  readonly #totals: { -readonly [Key in keyof Omit<LocalTotals, "finite">]: number };
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

  /** Reads the totals of all results that were added, with one read. */
  async totals(): Promise<LocalTotals> {
    const records = this.#records.splice(0);
    const flag = this.#begin === 0 ? await this.#state.store.nonFinite() : undefined;
    const parts = flag ? [...records, flag] : records;
    if (parts.length === 0) return { ...this.#totals };
    const values = await read(parts);
    for (let at = 0; at < 2 * records.length; at += 2) {
      this.#totals.lossSum += values[at];
      this.#totals.correct += values[at + 1];
    }
    return { ...this.#totals, ...(flag ? { finite: values.at(-1) === 0 } : {}) };
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

/** Reads vectors, which it disposes of. */
async function read(vectors: readonly tf.Tensor[]): Promise<Float32Array> {
  const joined = vectors.length === 1 ? vectors[0] : tf.concat([...vectors] as tf.Tensor1D[]);
  try {
    return await readAsync(joined) as Float32Array;
  } finally {
    tf.dispose([...vectors, joined]);
  }
}

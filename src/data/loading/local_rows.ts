/**
 * Rows made on the calling thread, with reading and decoding on TensorFlow's: for samples that no other thread can
 * make, such as those of a caller's function.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { alignedBytes } from "../../base/aligned_memory.ts";
import { Semaphore } from "../../base/semaphore.ts";
import type { Sample } from "../datasets/image_set.ts";
import { augmentation, type RowMaker } from "./row_maker.ts";
import {
  bytesToMake,
  isUsable,
  type MadeRows,
  type RowFactory,
  type RowOutcome,
  type RowsOptions,
  type StepOrder,
} from "./step_rows.ts";

/** The parts of {@linkcode LocalRows}. */
export interface LocalRowsParts {
  readonly maker: RowMaker;
  /** Gives a sample by its index. */
  readonly sampleAt: (index: number) => Sample;
  /** Samples that needn't be read. */
  readonly known: { has(index: number): boolean } | undefined;
  /** Images to read and decode at a time. */
  readonly concurrency: number;
}

/** Makes rows on the calling thread. */
export class LocalRows implements RowFactory {
  readonly #parts: LocalRowsParts;
  readonly #options: RowsOptions;
  readonly #queue: Semaphore;
  /** Memory of rows that are done with. */
  readonly #spare: Uint8Array[] = [];

  constructor(parts: LocalRowsParts, options: RowsOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#queue = new Semaphore(parts.concurrency);
  }

  async make(order: StepOrder): Promise<MadeRows> {
    const { maker } = this.#parts;
    const bytes = bytesToMake(order, maker.rowBytes);
    const last = this.#spare.pop();
    const rows = last?.length === bytes ? last : alignedBytes(bytes);
    const floats = new Map<number, Float32Array>();
    const settled = await Promise.allSettled(
      order.wanted.map((index, row) => this.#queue.run(() => this.#make(index, rows, row, floats))),
    );
    this.#options.signal.throwIfAborted();
    const outcomes = settled.map((result): RowOutcome =>
      result.status === "fulfilled" ? result.value : { error: result.reason }
    );
    maker.finish(rows, outcomes.map(isUsable), order.planned, order.mix);
    return { rows, outcomes, floats };
  }

  recycle(rows: Uint8Array): void {
    this.#spare.push(rows);
  }

  close(): void {
    this.#spare.length = 0;
  }

  async #make(
    index: number,
    rows: Uint8Array,
    row: number,
    floats: Map<number, Float32Array>,
  ): Promise<RowOutcome> {
    const { maker, sampleAt, known } = this.#parts;
    const { signal, seed, epoch } = this.#options;
    signal.throwIfAborted();
    if (known?.has(index)) return "unread";
    const random = augmentation(seed, epoch, index);
    const sample = sampleAt(index);
    const prepared = await maker.read(sample, random, epoch);
    // Transforms block: let messages and timers have their turn before each.
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
    const own = maker.write(prepared, sample, random, rows, row);
    if (own) floats.set(row, own);
    return "image";
  }
}

/**
 * Rows made by loader threads: this thread hands steps out, and touches no pixel.
 *
 * @module
 */
import type { Sample } from "../datasets/image_set.ts";
import type { LoaderThreads, OpenStep } from "./loader_threads.ts";
import {
  bytesToMake,
  type MadeRows,
  type RowFactory,
  type RowOutcome,
  type RowsOptions,
  type StepOrder,
} from "./step_rows.ts";
import { ROW_STATES } from "./thread_slot.ts";

/** The parts of {@linkcode ThreadedRows}. */
export interface ThreadedRowsParts {
  readonly threads: LoaderThreads;
  /** Number of the row maker in the threads. */
  readonly maker: number;
  readonly rowBytes: number;
  /** Gives a sample by its index. */
  readonly sampleAt: (index: number) => Sample;
  /** Samples that needn't be read. */
  readonly known: { has(index: number): boolean } | undefined;
}

/** Has rows made by threads. */
export class ThreadedRows implements RowFactory {
  readonly #parts: ThreadedRowsParts;
  readonly #options: RowsOptions;
  /** Steps in the making. */
  readonly #open = new Set<OpenStep>();
  /** Steps whose rows are in use, by their memory. */
  readonly #lent = new Map<ArrayBufferLike, OpenStep>();

  constructor(parts: ThreadedRowsParts, options: RowsOptions) {
    this.#parts = parts;
    this.#options = options;
    options.signal.addEventListener("abort", () => {
      for (const { slot } of this.#open) slot.cancel();
    }, { once: true });
  }

  async make(order: StepOrder): Promise<MadeRows> {
    const { threads, maker, rowBytes, sampleAt, known } = this.#parts;
    const { signal, seed, epoch, reuse } = this.#options;
    signal.throwIfAborted();
    const { wanted, planned, mix } = order;
    if (wanted.length === 0) return { rows: new Uint8Array(), outcomes: [] };
    const rows = wanted.map((index) => ({
      sample: sampleAt(index),
      known: known?.has(index) ?? false,
    }));
    const step = threads.open(
      { maker, seed, epoch, planned, mix },
      bytesToMake(order, rowBytes),
      rows,
    );
    this.#open.add(step);
    let errors: ReadonlyMap<number, Error>;
    try {
      errors = await threads.finished(step);
    } finally {
      this.#open.delete(step);
    }
    if (signal.aborted) {
      threads.free(step);
      throw signal.reason;
    }
    const outcomes = step.slot.states().map((state, row): RowOutcome => {
      if (state === ROW_STATES.image) return "image";
      return state === ROW_STATES.unread ? "unread" : { error: errors.get(row) };
    });
    if (reuse) {
      this.#lent.set(step.slot.buffer, step);
      return { rows: step.slot.rows, outcomes };
    }
    const copy = step.slot.rows.slice();
    threads.free(step);
    return { rows: copy, outcomes };
  }

  recycle({ buffer }: Uint8Array): void {
    const step = this.#lent.get(buffer);
    if (!step) return;
    this.#lent.delete(buffer);
    this.#parts.threads.free(step);
  }

  /** Rows that weren't given back may still be looked at: their memory isn't used again. */
  close(): void {
    for (const step of this.#lent.values()) this.#parts.threads.discard(step);
    this.#lent.clear();
  }
}

/**
 * Batches whose images go up to the GPU while it computes on the batch before.
 *
 * @module
 */
import type { ImageStage } from "./image_stage.ts";
import type { LabelledImages } from "./labelled_images.ts";
import { microBatchesOf, type MicroBatching } from "./micro_batches.ts";

/** A part of a batch, and its place in it. */
export type BatchPart = ReturnType<typeof microBatchesOf>[number];

/** The parts of batches, some of which are prepared. */
export class PreparedBatches {
  /** The division of batches from now on. */
  batching: MicroBatching;
  readonly #stage: ImageStage;
  readonly #prepared = new WeakMap<LabelledImages, readonly BatchPart[]>();

  constructor(stage: ImageStage, batching: MicroBatching) {
    this.#stage = stage;
    this.batching = batching;
  }

  /** Begins to copy a batch's images; their memory may be overwritten when the promise resolves. */
  async prepare(batch: LabelledImages): Promise<void> {
    const parts = microBatchesOf(batch, this.batching);
    this.#prepared.set(batch, parts);
    await Promise.all(parts.map(({ part }) => this.#stage.preload(part.images)));
  }

  /** Returns the parts of a batch, prepared or not. */
  partsOf(batch: LabelledImages): readonly BatchPart[] {
    return this.#prepared.get(batch) ?? microBatchesOf(batch, this.batching);
  }

  /** Ends the use of a batch, if it was used at all: the ops on it must be done. */
  finish(batch: LabelledImages): void {
    for (const { part } of this.#prepared.get(batch) ?? []) this.#stage.release(part.images);
    this.#prepared.delete(batch);
  }
}

/** The preparation of items. */
export interface Preparation<Item> {
  prepare(item: Item): Promise<void>;
  /** Ends the use of an item that was prepared, or may have been, and is not given. */
  finish(item: Item): void;
}

/** Gives items, each of which is prepared while the one before it is in use; one item ahead is taken from the source. */
export async function* preparedAhead<Item>(
  items: AsyncIterable<Item>,
  preparation: Preparation<Item>,
): AsyncGenerator<Item, void, undefined> {
  const source = items[Symbol.asyncIterator]();
  let taken: Item | undefined;
  const next = async () => {
    const result = await source.next();
    if (!result.done) await preparation.prepare(taken = result.value);
    return result;
  };
  let ahead = next();
  try {
    for (;;) {
      const { value, done } = await ahead;
      if (done) return;
      taken = undefined;
      ahead = next();
      ahead.catch(() => {}); // whoever asks for the item sees the error
      yield value;
    }
  } finally {
    await ahead.catch(() => {});
    if (taken !== undefined) preparation.finish(taken);
    await source.return?.();
  }
}

/**
 * Places for tensors in a flat vector of device memory: results leave a step's function through it.
 *
 * @module
 */
import { bytesIn, type FloatRange } from "../../base/float_range.ts";
import { anyNonFinite } from "../array_ops.ts";
import type { DeviceMemory } from "../device_memory.ts";
import { addInto, firstRow, putInto } from "../inplace_ops.ts";
import { tf } from "../tf.ts";
import { readInto } from "../transfer.ts";
import { CapturedFunction } from "./capture.ts";

/** Tensors by their numbers in the list of places. */
export type NumberedTensors = ReadonlyMap<number, tf.Tensor>;

/** Copies tensors to their places. */
export class TensorStore implements Disposable {
  readonly #memory: DeviceMemory;
  readonly #places: readonly FloatRange[];
  readonly #put: CapturedFunction;
  readonly #add: CapturedFunction;
  readonly #nonFinite: CapturedFunction;

  constructor(memory: DeviceMemory, places: readonly FloatRange[]) {
    this.#memory = memory;
    this.#places = places;
    this.#put = storing("put", putInto);
    this.#add = storing("add", addInto);
    this.#nonFinite = new CapturedFunction(
      "non_finite",
      (vector) => [anyNonFinite(vector).reshape([1])],
      { variables: () => [], capture: true, random: false },
    );
  }

  /** Copies float32 tensors to their places. */
  async put(tensors: NumberedTensors): Promise<void> {
    const { host } = this.#memory;
    if (!host) return await this.#call(this.#put, tensors);
    for (const [index, tensor] of tensors) readInto(tensor, bytesIn(host, this.#places[index]));
  }

  /** Adds float32 tensors to what is in their places. */
  async add(tensors: NumberedTensors): Promise<void> {
    await this.#call(this.#add, tensors);
  }

  /**
   * Tells whether the memory holds NaN or infinity anywhere: float32 [1], 1 or 0.
   *
   * @returns Nothing where the memory is the CPU's, which can look for itself
   */
  async nonFinite(): Promise<tf.Tensor | undefined> {
    const memory = this.#memory;
    if (memory.host || memory.byteLength === 0) return undefined;
    const view = memory.view([1, memory.byteLength / Float32Array.BYTES_PER_ELEMENT]);
    try {
      const [flag] = await this.#nonFinite.call([view]);
      return flag;
    } finally {
      view.dispose();
    }
  }

  async #call(fn: CapturedFunction, tensors: NumberedTensors): Promise<void> {
    if (tensors.size === 0) return;
    const views = [...tensors.keys()].map((index) => {
      const { begin, end } = this.#places[index];
      return this.#memory.view([1, end - begin], begin);
    });
    try {
      tf.dispose(await fn.call([...views, ...tensors.values()]));
    } finally {
      tf.dispose(views);
    }
  }

  /** Releases the traced functions. */
  [Symbol.dispose](): void {
    this.#put.dispose();
    this.#add.dispose();
    this.#nonFinite.dispose();
  }
}

function storing(name: string, store: typeof putInto): CapturedFunction {
  return new CapturedFunction(name, (...tensors) => {
    const targets = tensors.slice(0, tensors.length / 2);
    const row = firstRow();
    return targets.map((target, index) => store(target, tensors[targets.length + index], row));
  }, { variables: () => [], capture: true, random: false });
}

/**
 * An exponential moving average of a model's weights.
 *
 * Source: `torch.optim.swa_utils.AveragedModel` with `use_buffers`, as torchvision's reference training uses it.
 *
 * @module
 */
import { bytesIn, type FloatRange } from "../base/float_range.ts";
import { addScaled, NativeVector, VectorView } from "../engine/native_vector.ts";
import type { EmaConfig } from "./config.ts";

/** Vectors of one layout, float32, aligned to 64 bytes. */
export interface AverageMemory {
  /** Parameters and running statistics. */
  readonly values: Uint8Array<ArrayBuffer>;
  readonly averages: Uint8Array<ArrayBuffer>;
  /** What of them is updated here. */
  readonly range: FloatRange;
}

/** The averages of a part of some values. */
export class WeightAverages implements Disposable {
  readonly #config: EmaConfig;
  readonly #values: Uint8Array<ArrayBuffer>;
  readonly #averages: Uint8Array<ArrayBuffer>;
  readonly #average: NativeVector;
  readonly #views: { readonly values: VectorView; readonly averages: VectorView };

  constructor({ values, averages, range }: AverageMemory, config: EmaConfig) {
    this.#config = config;
    this.#values = bytesIn(values, range);
    this.#averages = bytesIn(averages, range);
    this.#average = new NativeVector(this.#averages);
    this.#views = {
      values: new VectorView(this.#values),
      averages: new VectorView(this.#averages),
    };
  }

  /**
   * Takes the present values in: `average = kept · average + (1 − kept) · value`.
   *
   * @param step Optimizer step of the run, counted from 1
   */
  async update(step: number): Promise<void> {
    const { decay, everySteps } = this.#config;
    if (step === 1) return this.reset();
    if ((step - 1) % everySteps !== 0) return;
    await addScaled(this.#average, decay - 1, this.#views.averages);
    await addScaled(this.#average, 1 - decay, this.#views.values);
    this.#average.readInto(this.#averages);
  }

  /** Begins anew with the present values. */
  reset(): void {
    this.#averages.set(this.#values);
    this.reload();
  }

  /** The averages were changed by somebody else. */
  reload(): void {
    this.#average.assign(this.#averages);
  }

  [Symbol.dispose](): void {
    for (const held of [this.#average, ...Object.values(this.#views)]) held[Symbol.dispose]();
  }
}

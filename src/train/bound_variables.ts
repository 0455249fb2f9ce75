/**
 * The model's variables as views of a replica's memory.
 *
 * @module
 */
import { bytesIn } from "../base/float_range.ts";
import { tf } from "../engine/tf.ts";
import { readInto, viewOf } from "../engine/transfer.ts";
import type { FlatLayout } from "../optim/flat_layout.ts";

/** Variables that are views of a region: they have the values that are written to it. */
export class BoundVariables implements Disposable {
  readonly #variables: readonly tf.Variable[];
  readonly #parts: readonly Uint8Array<ArrayBuffer>[];
  readonly #views: readonly tf.Tensor[];

  constructor(
    variables: readonly tf.Variable[],
    { places }: FlatLayout,
    region: Uint8Array<ArrayBuffer>,
  ) {
    this.#variables = variables;
    this.#parts = places.map((place) => bytesIn(region, place));
    this.#views = variables.map(({ shape }, index) => viewOf(shape, this.#parts[index]));
  }

  /** Makes the variables views of the region, whose values they take. */
  bind(): void {
    this.#variables.forEach((variable, index) => variable.assign(this.#views[index]));
  }

  /** Writes values newly assigned to variables into the region, and rebinds them; returns whether any was. */
  collect(): boolean {
    let any = false;
    this.#variables.forEach((variable, index) => {
      const view = this.#views[index];
      if (variable.dataId === view.dataId) return;
      readInto(variable, this.#parts[index]);
      variable.assign(view);
      any = true;
    });
    return any;
  }

  /** Releases the views; variables that are bound go on looking at the region. */
  [Symbol.dispose](): void {
    tf.dispose([...this.#views]);
  }
}

/**
 * The model's variables as views of a replica's memory.
 *
 * @module
 */
import { type DeviceMemory, writeTensor } from "../engine/device_memory.ts";
import { tf } from "../engine/tf.ts";
import type { FlatLayout } from "../optim/flat_layout.ts";

/** Variables that are views of a region: they have the values that are written to it. */
export class BoundVariables implements Disposable {
  readonly #variables: readonly tf.Variable[];
  readonly #layout: FlatLayout;
  readonly #region: DeviceMemory;
  readonly #views: readonly tf.Tensor[];

  constructor(variables: readonly tf.Variable[], layout: FlatLayout, region: DeviceMemory) {
    this.#variables = variables;
    this.#layout = layout;
    this.#region = region;
    this.#views = variables.map(({ shape }, index) =>
      region.view(shape, layout.places[index].begin)
    );
  }

  /** Makes the variables views of the region, whose values they take. */
  bind(): void {
    this.#variables.forEach((variable, index) => {
      const view = this.#views[index];
      if (variable.dataId !== view.dataId) variable.assign(view);
    });
  }

  /** Writes values newly assigned to variables into the region, and rebinds them; returns whether any was. */
  collect(): boolean {
    let any = false;
    this.#variables.forEach((variable, index) => {
      const view = this.#views[index];
      if (variable.dataId === view.dataId) return;
      writeTensor(this.#region, variable, this.#layout.places[index].begin);
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

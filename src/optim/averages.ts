/**
 * An exponential moving average of a model's weights.
 *
 * Source: `torch.optim.swa_utils.AveragedModel` with `use_buffers`, as torchvision's reference training uses it.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import type { EmaConfig } from "./config.ts";

/** The averages of some variables: parameters and running statistics. */
export class WeightAverages implements Disposable {
  readonly #variables: readonly tf.Variable[];
  readonly #config: EmaConfig;
  /** In the order of the variables; float32. */
  readonly averages: readonly tf.Variable[];

  /** Begins with the variables' present values. */
  constructor(variables: readonly tf.Variable[], config: EmaConfig) {
    this.#variables = variables;
    this.#config = config;
    this.averages = variables.map((variable) =>
      tf.tidy(() => tf.variable(tf.clone(variable), false))
    );
  }

  /**
   * How much of the averages stays at a step: nothing at the first one, everything between two updates.
   *
   * @param step Optimizer step of the run, counted from 1
   */
  keptShare(step: number): number {
    if (step === 1) return 0;
    return (step - 1) % this.#config.everySteps === 0 ? this.#config.decay : 1;
  }

  /** Takes the present values in: `average = kept · average + (1 − kept) · value`. */
  update(kept: tf.Tensor): void {
    const fresh = tf.sub(1, kept);
    this.averages.forEach((average, index) =>
      average.assign(tf.add(tf.mul(average, kept), tf.mul(this.#variables[index], fresh)))
    );
  }

  /** Begins anew with the present values. */
  reset(): void {
    this.averages.forEach((average, index) => average.assign(this.#variables[index]));
  }

  /** Exchanges the averages and the variables; again, and all is as before. */
  swap(): void {
    this.averages.forEach((average, index) => {
      const variable = this.#variables[index];
      const own = tf.clone(variable);
      variable.assign(average);
      average.assign(own);
      own.dispose();
    });
  }

  [Symbol.dispose](): void {
    tf.dispose([...this.averages]);
  }
}

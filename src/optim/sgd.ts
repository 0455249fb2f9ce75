/**
 * Stochastic gradient descent with momentum, by PyTorch's update rule.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import type { SgdConfig } from "./config.ts";

/** One parameter and its momentum buffer. */
export interface SgdSlot {
  readonly parameter: tf.Variable;
  readonly momentum: tf.Variable;
}

/**
 * Makes the momentum buffers (float32, zero, shaped like the parameters).
 *
 * PyTorch sets the buffer to the first gradient as it is; from zero the rule below gives the same with
 * dampening 0. With dampening, {@linkcode sgdStep}'s `first` says that the buffer is still unset.
 */
export function makeSgdSlots(parameters: readonly tf.Variable[]): SgdSlot[] {
  return parameters.map((parameter) => ({
    parameter,
    momentum: tf.tidy(() => tf.variable(tf.zerosLike(parameter), false)),
  }));
}

/**
 * Takes one SGD step in place: `d = g + weightDecay·p`, `m = momentum·m + (1 − dampening)·d`,
 * `p −= lr·(nesterov ? d + momentum·m : m)`.
 *
 * Source: `torch.optim.SGD`; Sutskever et al., "On the importance of initialization and momentum in deep
 * learning", ICML 2013, for Nesterov's form.
 *
 * @param slots Parameters and momentum buffers
 * @param gradients Gradients in the order of `slots`, of the parameters' shapes
 * @param learningRate Scalar tensor, so that a captured step doesn't freeze it
 * @param undampened Scalar tensor: 1 − dampening, or 1 at the very first step
 */
export function sgdStep(
  slots: readonly SgdSlot[],
  gradients: readonly tf.Tensor[],
  learningRate: tf.Tensor,
  undampened: tf.Tensor,
  config: SgdConfig,
): void {
  slots.forEach(({ parameter, momentum }, index) => {
    let direction: tf.Tensor = gradients[index];
    if (config.weightDecay !== 0) {
      direction = tf.add(direction, tf.mul(parameter, config.weightDecay));
    }
    if (config.momentum !== 0) {
      const fresh = config.dampening === 0 ? direction : tf.mul(direction, undampened);
      const velocity = tf.add(tf.mul(momentum, config.momentum), fresh);
      momentum.assign(velocity);
      direction = config.nesterov ? tf.add(direction, tf.mul(velocity, config.momentum)) : velocity;
    }
    parameter.assign(tf.sub(parameter, tf.mul(direction, learningRate)));
  });
}

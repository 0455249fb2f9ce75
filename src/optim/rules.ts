/**
 * What an optimizer step does to one parameter, by PyTorch's update rules.
 *
 * Each rule's changing numbers (learning rate, bias corrections) are scalar tensors, so that a captured step
 * doesn't freeze them.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import type { OptimizerConfig } from "./config.ts";

/** Settings that a group of parameters may have of its own. */
export interface GroupSettings {
  readonly weightDecay: number;
}

/** One parameter and the optimizer's state for it. */
export interface ParameterState {
  readonly parameter: tf.Variable;
  /** In the order of {@linkcode UpdateRule.slots}; float32, of the parameter's shape. */
  readonly slots: readonly tf.Variable[];
}

/** An optimizer, for one parameter. */
export interface UpdateRule {
  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  readonly slots: readonly string[];
  /**
   * Numbers that change from step to step.
   *
   * @param rate Learning rate
   * @param step Optimizer step of the run, counted from 1
   */
  scalars(rate: number, step: number): number[];
  /** Takes the step in place. */
  apply(
    state: ParameterState,
    gradient: tf.Tensor,
    scalars: readonly tf.Tensor[],
    settings: GroupSettings,
  ): void;
}

/** The rule of a configured optimizer. */
export function updateRule(config: OptimizerConfig): UpdateRule {
  return config.optimizer === "sgd" ? sgdRule(config) : adamRule(config);
}

/**
 * `d = g + weightDecay·p`, `m = momentum·m + (1 − dampening)·d`, `p −= lr·(nesterov ? d + momentum·m : m)`.
 *
 * PyTorch sets the buffer to the first gradient as it is; from zero the rule gives the same with dampening 0,
 * and with `1` in the place of `1 − dampening` at the first step.
 *
 * Source: `torch.optim.SGD`; Sutskever et al., "On the importance of initialization and momentum in deep
 * learning", ICML 2013, for Nesterov's form.
 */
function sgdRule(
  { momentum, dampening, nesterov }: Extract<OptimizerConfig, { optimizer: "sgd" }>,
): UpdateRule {
  return {
    slots: momentum === 0 ? [] : ["momentum_buffer"],
    scalars: (rate, step) => [rate, step === 1 ? 1 : 1 - dampening],
    apply({ parameter, slots: [buffer] }, gradient, [rate, undampened], { weightDecay }) {
      let direction = withPenalty(gradient, parameter, weightDecay);
      if (buffer) {
        const fresh = dampening === 0 ? direction : tf.mul(direction, undampened);
        const velocity = tf.add(tf.mul(buffer, momentum), fresh);
        buffer.assign(velocity);
        direction = nesterov ? tf.add(direction, tf.mul(velocity, momentum)) : velocity;
      }
      parameter.assign(tf.sub(parameter, tf.mul(direction, rate)));
    },
  };
}

/**
 * `m = β₁·m + (1 − β₁)·g`, `v = β₂·v + (1 − β₂)·g²`, `p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`; Adam adds
 * `weightDecay·p` to g, AdamW takes `lr·weightDecay·p` from p before.
 *
 * Source: `torch.optim.Adam` and `AdamW`; Kingma & Ba 2014, arXiv:1412.6980; Loshchilov & Hutter 2017,
 * arXiv:1711.05101.
 */
function adamRule(
  { optimizer, betas: [beta1, beta2], eps }: Extract<
    OptimizerConfig,
    { optimizer: "adam" | "adamw" }
  >,
): UpdateRule {
  return {
    slots: ["exp_avg", "exp_avg_sq"],
    scalars: (rate, step) => [
      rate,
      rate / (1 - beta1 ** step),
      1 / Math.sqrt(1 - beta2 ** step),
    ],
    apply({ parameter, slots }, gradient, [rate, stepSize, correction], { weightDecay }) {
      const [mean, square] = slots;
      const decoupled = optimizer === "adamw";
      const g = decoupled ? gradient : withPenalty(gradient, parameter, weightDecay);
      const newMean = tf.add(tf.mul(mean, beta1), tf.mul(g, 1 - beta1));
      const newSquare = tf.add(tf.mul(square, beta2), tf.mul(tf.square(g), 1 - beta2));
      mean.assign(newMean);
      square.assign(newSquare);
      const denominator = tf.add(tf.mul(tf.sqrt(newSquare), correction), eps);
      const kept = decoupled && weightDecay !== 0
        ? tf.sub(parameter, tf.mul(parameter, tf.mul(rate, weightDecay)))
        : parameter;
      parameter.assign(tf.sub(kept, tf.mul(tf.div(newMean, denominator), stepSize)));
    },
  };
}

function withPenalty(gradient: tf.Tensor, parameter: tf.Variable, weightDecay: number): tf.Tensor {
  return weightDecay === 0 ? gradient : tf.add(gradient, tf.mul(parameter, weightDecay));
}

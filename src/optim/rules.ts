/**
 * The computation of an optimizer step on a run of parameters, by PyTorch's update rules.
 *
 * @module
 */
import {
  adamStep,
  addScaled,
  momentumStep,
  type NativeVector,
  scaled,
  sumScaled,
  type VectorView,
} from "../engine/native_vector.ts";
import type { OptimizerConfig } from "./config.ts";

/** Adjacent parameters, their gradients, and the optimizer's state for them. */
export interface UpdateSpan {
  /** Changed in place. */
  readonly parameter: NativeVector;
  /** The same values before the step. */
  readonly before: VectorView;
  readonly gradient: VectorView;
  /** In the order of {@linkcode UpdateRule.slots}; changed in place. */
  readonly slots: readonly NativeVector[];
}

/** The settings on which a step depends beside the gradients. */
export interface StepSettings {
  /** Learning rate. */
  readonly rate: number;
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  readonly weightDecay: number;
}

/** An optimizer, for one run of parameters. */
export interface UpdateRule {
  /** Names of the state's tensors, as in PyTorch's `state_dict()`. */
  readonly slots: readonly string[];
  /** Takes the step in place. */
  apply(state: UpdateSpan, settings: StepSettings): Promise<void>;
}

/** The rule of a configured optimizer. */
export function updateRule(config: OptimizerConfig): UpdateRule {
  return config.optimizer === "sgd" ? sgdRule(config) : adamRule(config);
}

/**
 * `d = g + weightDecay·p`, `m = momentum·m + (1 − dampening)·d`, `p −= lr·(nesterov ? d + momentum·m : m)`.
 *
 * PyTorch sets the buffer to the first gradient as it is; from zero the rule gives the same with dampening 0,
 * and with `1` in the place of `1 − dampening` at the first step. Nesterov's form has no dampening.
 *
 * Source: `torch.optim.SGD`; Sutskever et al., "On the importance of initialization and momentum in deep
 * learning", ICML 2013, for Nesterov's form.
 */
function sgdRule(
  { momentum, dampening, nesterov }: Extract<OptimizerConfig, { optimizer: "sgd" }>,
): UpdateRule {
  return {
    slots: momentum === 0 ? [] : ["momentum_buffer"],
    async apply({ parameter, before, gradient, slots: [buffer] }, { rate, step, weightDecay }) {
      using stack = new DisposableStack();
      let direction = gradient;
      if (weightDecay !== 0) direction = stack.use(sumScaled(direction, weightDecay, before));
      if (!buffer) return await addScaled(parameter, -rate, direction);
      if (dampening !== 0 && step > 1) direction = stack.use(scaled(1 - dampening, direction));
      await momentumStep(parameter, buffer, direction, { rate, momentum, nesterov });
    },
  };
}

/**
 * `m = β₁·m + (1 − β₁)·g`, `v = β₂·v + (1 − β₂)·g²`, `p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`; Adam adds
 * `weightDecay·p` to g, AdamW takes `lr·weightDecay·p` from p before.
 *
 * The kernel takes 1 − β from β in float32, which for β₂ = 0.999 is off by 1.3e-5 of itself: so are its `m` and `v`, by
 * a factor that is the same in every step and is taken out again where they are used.
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
  const meanFactor = complementInFloat(beta1) / (1 - beta1);
  const rootFactor = Math.sqrt(complementInFloat(beta2) / (1 - beta2));
  return {
    slots: ["exp_avg", "exp_avg_sq"],
    async apply({ parameter, before, gradient, slots: [mean, square] }, settings) {
      const { rate, step, weightDecay } = settings;
      using stack = new DisposableStack();
      let direction = gradient;
      if (weightDecay !== 0 && optimizer === "adamw") {
        await addScaled(parameter, -rate * weightDecay, before);
      } else if (weightDecay !== 0) {
        direction = stack.use(sumScaled(direction, weightDecay, before));
      }
      const correction = rootFactor * Math.sqrt(1 - beta2 ** step);
      await adamStep(parameter, { mean, square }, direction, {
        rate: rate * correction / (1 - beta1 ** step) / meanFactor,
        beta1,
        beta2,
        epsilon: eps * correction,
      });
    },
  };
}

/** 1 − beta as float32 arithmetic has it. */
function complementInFloat(beta: number): number {
  return Math.fround(1 - Math.fround(beta));
}

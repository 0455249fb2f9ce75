/**
 * Adam and AdamW.
 *
 * @module
 */
import { declareOptimizer, type UpdateRule, type Vectors } from "../optimizer_declaration.ts";
import { betas, eps } from "../optimizer_keys.ts";

const COMMON = {
  keys: { betas, eps },
  defaults: { betas: [0.9, 0.999] as [number, number], eps: 1e-8 },
};

/** Adam: `weightDecay` is an L2 penalty, added to the gradient. */
export const adam = declareOptimizer({
  ...COMMON,
  weightDecay: 0,
  rule: (vectors, settings) => adamRule(vectors, settings, "penalty"),
});

/** AdamW: `weightDecay` shrinks the parameters. */
export const adamw = declareOptimizer({
  ...COMMON,
  weightDecay: 0.01,
  rule: (vectors, settings) => adamRule(vectors, settings, "decoupled"),
});

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
  { adamStep, addScaled, sumScaled }: Vectors,
  { betas: [beta1, beta2], eps }: { betas: [number, number]; eps: number },
  decay: "penalty" | "decoupled",
): UpdateRule {
  const meanFactor = complementInFloat(beta1) / (1 - beta1);
  const rootFactor = Math.sqrt(complementInFloat(beta2) / (1 - beta2));
  return {
    slots: ["exp_avg", "exp_avg_sq"],
    async apply({ parameter, before, gradient, slots: [mean, square] }, settings) {
      const { rate, step, weightDecay } = settings;
      using stack = new DisposableStack();
      let direction = gradient;
      if (weightDecay !== 0 && decay === "decoupled") {
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

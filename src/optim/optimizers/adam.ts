/**
 * Adam and AdamW.
 *
 * @module
 */
import { declareOptimizer, type UpdateRule } from "../optimizer_declaration.ts";
import { betas, eps } from "../optimizer_keys.ts";

const COMMON = {
  keys: { betas, eps },
  defaults: { betas: [0.9, 0.999] as [number, number], eps: 1e-8 },
};

/** Adam: `weightDecay` is an L2 penalty, added to the gradient. */
export const adam = declareOptimizer({
  ...COMMON,
  weightDecay: 0,
  rule: (settings, decays) => adamRule(settings, decays ? "penalty" : undefined),
});

/** AdamW: `weightDecay` shrinks the parameters. */
export const adamw = declareOptimizer({
  ...COMMON,
  weightDecay: 0.01,
  rule: (settings, decays) => adamRule(settings, decays ? "decoupled" : undefined),
});

/**
 * `m += (1 − β₁)·(g − m)`, `v = β₂·v + (1 − β₂)·g²`, `p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`; Adam adds
 * `weightDecay·p` to g, AdamW takes `lr·weightDecay·p` from p before.
 *
 * Source: `torch.optim.Adam` and `AdamW`; Kingma & Ba 2014, arXiv:1412.6980; Loshchilov & Hutter 2017,
 * arXiv:1711.05101.
 */
function adamRule(
  { betas: [beta1, beta2], eps }: { betas: [number, number]; eps: number },
  decay: "penalty" | "decoupled" | undefined,
): UpdateRule {
  return {
    slots: ["exp_avg", "exp_avg_sq"],
    numbers: ({ rate, step, weightDecay }) => [
      rate / (1 - beta1 ** step),
      Math.sqrt(1 - beta2 ** step),
      1 - beta1,
      beta2,
      1 - beta2,
      eps,
      decay === "decoupled" ? 1 - rate * weightDecay : weightDecay,
    ],
    compute(ops, { parameter, gradient, slots: [mean, square] }, numbers) {
      const [rate, correction, meanShare, kept, squareShare, epsilon, decays] = numbers;
      const before = decay === "decoupled" ? ops.mul(decays, parameter) : parameter;
      const direction = decay === "penalty"
        ? ops.add(gradient, ops.mul(decays, parameter))
        : gradient;
      const nextMean = ops.add(mean, ops.mul(meanShare, ops.sub(direction, mean)));
      const nextSquare = ops.add(
        ops.mul(kept, square),
        ops.mul(squareShare, ops.mul(direction, direction)),
      );
      const size = ops.add(ops.div(ops.sqrt(nextSquare), correction), epsilon);
      return {
        parameter: ops.sub(before, ops.mul(rate, ops.div(nextMean, size))),
        slots: [nextMean, nextSquare],
      };
    },
  };
}

/**
 * Stochastic gradient descent.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { declareOptimizer } from "../optimizer_declaration.ts";

/**
 * `d = g + weightDecay·p`, `m = momentum·m + (1 − dampening)·d`, `p −= lr·(nesterov ? d + momentum·m : m)`.
 *
 * PyTorch sets the buffer to the first gradient as it is; from zero the rule gives the same with dampening 0,
 * and with `1` in the place of `1 − dampening` at the first step. Nesterov's form has no dampening.
 *
 * Source: `torch.optim.SGD`; Sutskever et al., "On the importance of initialization and momentum in deep
 * learning", ICML 2013, for Nesterov's form.
 */
export const sgd = declareOptimizer({
  keys: {
    momentum: float32().min(0).max(1).describe("SGD's momentum; 0.9 unless set."),
    dampening: float32().min(0).max(1).describe("SGD's dampening of momentum; 0 unless set."),
    nesterov: z.boolean().describe("SGD's momentum in Nesterov's form; false unless set."),
  },
  defaults: { momentum: 0.9, dampening: 0, nesterov: false },
  weightDecay: 0,
  rule: ({ addScaled, momentumStep, scaled, sumScaled }, { momentum, dampening, nesterov }) => ({
    slots: momentum === 0 ? [] : ["momentum_buffer"],
    async apply({ parameter, before, gradient, slots: [buffer] }, { rate, step, weightDecay }) {
      using stack = new DisposableStack();
      let direction = gradient;
      if (weightDecay !== 0) direction = stack.use(sumScaled(direction, weightDecay, before));
      if (!buffer) return await addScaled(parameter, -rate, direction);
      if (dampening !== 0 && step > 1) direction = stack.use(scaled(1 - dampening, direction));
      await momentumStep(parameter, buffer, direction, { rate, momentum, nesterov });
    },
  }),
});

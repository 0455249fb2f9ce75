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
  rule: ({ momentum, dampening, nesterov }, decays) => ({
    slots: momentum === 0 ? [] : ["momentum_buffer"],
    numbers: ({ rate, step, weightDecay }) => [
      rate,
      weightDecay,
      momentum,
      step > 1 ? 1 - dampening : 1,
    ],
    compute(ops, { parameter, gradient, slots: [buffer] }, [rate, decay, kept, share]) {
      const direction = decays ? ops.add(gradient, ops.mul(decay, parameter)) : gradient;
      if (momentum === 0) {
        return { parameter: ops.sub(parameter, ops.mul(rate, direction)), slots: [] };
      }
      const added = dampening === 0 ? direction : ops.mul(share, direction);
      const next = ops.add(ops.mul(kept, buffer), added);
      const change = nesterov ? ops.add(direction, ops.mul(kept, next)) : next;
      return { parameter: ops.sub(parameter, ops.mul(rate, change)), slots: [next] };
    },
  }),
});

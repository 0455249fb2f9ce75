/**
 * Decay at chosen times.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { declareSchedule } from "../schedule_declaration.ts";

/** `torch.optim.lr_scheduler.MultiStepLR`. */
export const MultiStepLR = declareSchedule({
  keys: {
    milestones: z.array(z.int().positive()).min(1, "give at least one milestone").refine(
      (all) => all.every((milestone, index) => index === 0 || milestone > all[index - 1]),
      "give milestones in rising order",
    ).describe("Epochs or steps after which the rate decays."),
    gamma: float32().positive().default(0.1).describe("Factor of one decay."),
  },
  cure: "give a smaller gamma",
  rateAt: ({ gamma, milestones }, rate, { time }) =>
    rate * gamma ** milestones.filter((at) => at <= time).length,
  problem({ milestones }, { whole, warmup, unit }) {
    const past = milestones.find((milestone) => milestone + warmup >= whole);
    if (past === undefined) return;
    const after = warmup > 0 ? ` (after ${warmup} of warm-up)` : "";
    return `milestones: ${past}${after} would decay the rate past the end of the run, which has ` +
      `${whole} ${unit}: remove it, or give more epochs`;
  },
});

/**
 * Decay after every so many epochs or steps.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { declareSchedule } from "../schedule_declaration.ts";

/** `torch.optim.lr_scheduler.StepLR`. */
export const StepLR = declareSchedule({
  keys: {
    stepSize: z.int().positive().describe("Epochs or steps between two decays."),
    gamma: float32().positive().default(0.1).describe("Factor of one decay."),
  },
  cure: "give a smaller gamma",
  rateAt: ({ gamma, stepSize }, rate, { time }) => rate * gamma ** Math.floor(time / stepSize),
});

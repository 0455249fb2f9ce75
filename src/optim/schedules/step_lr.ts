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
    /** Epochs or steps between two decays. */
    stepSize: z.int().positive(),
    /** Factor of one decay. */
    gamma: float32().positive().default(0.1),
  },
  cure: "give a smaller gamma",
  rateAt: ({ gamma, stepSize }, rate, { time }) => rate * gamma ** Math.floor(time / stepSize),
});

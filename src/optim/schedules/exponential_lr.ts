/**
 * Decay at every epoch or step.
 *
 * @module
 */
import { float32 } from "../../base/float32.ts";
import { declareSchedule } from "../schedule_declaration.ts";

/** `torch.optim.lr_scheduler.ExponentialLR`. */
export const ExponentialLR = declareSchedule({
  keys: {
    /** Factor of each epoch or step. */
    gamma: float32().positive(),
  },
  cure: "give a smaller gamma",
  rateAt: ({ gamma }, rate, { time }) => rate * gamma ** time,
});

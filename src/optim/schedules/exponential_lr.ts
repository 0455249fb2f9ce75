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
    gamma: float32().positive().describe("Factor of each epoch or step."),
  },
  cure: "give a smaller gamma",
  rateAt: ({ gamma }, rate, { time }) => rate * gamma ** time,
});

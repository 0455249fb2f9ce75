/**
 * Half a cosine wave (Loshchilov & Hutter 2016, arXiv:1608.03983).
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { declareSchedule } from "../schedule_declaration.ts";

/** `torch.optim.lr_scheduler.CosineAnnealingLR`. */
export const CosineAnnealingLR = declareSchedule({
  keys: {
    tMax: z.int().positive().optional().describe(
      "Epochs or steps from the full rate to `etaMin`; unless set, all that follow the warm-up.",
    ),
    etaMin: float32().nonnegative().default(0).describe("Learning rate at the end."),
  },
  cure: "mend etaMin",
  rateAt: ({ etaMin, tMax }, rate, { time, whole }) =>
    etaMin + (rate - etaMin) * (1 + Math.cos(Math.PI * time / (tMax ?? whole))) / 2,
});

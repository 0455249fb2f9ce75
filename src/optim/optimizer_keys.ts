/**
 * Keys that several optimizers have.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { float32, shareBelow1 } from "../base/float32.ts";

/** `train.betas`: decay of the averages of the gradient and of its square. */
export const betas = z.tuple([shareBelow1(), shareBelow1()]).describe(
  "Adam's and AdamW's decay of the averages of the gradient and of its square; [0.9, 0.999] " +
    "unless set.",
);

/** `train.eps`: added to the denominator. */
export const eps = float32().positive().describe(
  "Adam's and AdamW's, added to the denominator; 1e-8 unless set.",
);

/**
 * Keys that several optimizers have.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { float32, shareBelow1 } from "../base/float32.ts";

/** `train.betas`: decay of the averages of the gradient and of its square. */
export const betas = z.tuple([shareBelow1(), shareBelow1()]);

/** `train.eps`: added to the denominator. */
export const eps = float32().positive();

/**
 * Settings of the loggers.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/** The `loggers` section of the config. */
export const loggersSchema = z.strictObject({
  /**
   * Write TensorBoard's event files into `<run>/tensorboard/`. On by default: a point costs a fraction of a
   * millisecond and about a kilobyte, and pictures are added only when there is a new best epoch.
   */
  tensorboard: z.boolean().default(true),
});

/**
 * Schemas of the arguments and the answers of the commands that workers carry out.
 *
 * @module
 */
import { openedDeviceSchema } from "../base/compute_device.ts";
import { z } from "../deps/zod.ts";
import { EXCHANGE_NAMES } from "../exchange/registry.ts";

const count = z.int().nonnegative();
/** A non-finite number is `null`. */
const measured = z.number().nullable().transform((value) => value ?? NaN);
const skippedSchema = z.array(z.object({ index: count, path: z.string(), reason: z.string() }));

/** Answer to `openExchange`. */
export const openedWorkerSchema = z.strictObject({
  device: openedDeviceSchema,
  /** The exchange that the worker has opened; and why it isn't what it would rather have, as a sentence. */
  exchange: z.strictObject({ name: z.enum(EXCHANGE_NAMES), fallback: z.string().optional() }),
});

/** The loss scale in an epoch. */
export const lossScaleSchema = z.strictObject({
  scale: z.number().positive(),
  growthTracker: count,
  skippedSteps: count,
});

/** Counts of the steps that were skipped, and the most in a row. */
const skipAllowanceSchema = z.strictObject({
  inARow: count,
  ofEpoch: count,
  limit: z.int().positive(),
});

/** Arguments of the command `trainEpoch`. */
export const epochSpanSchema = z.strictObject({
  epoch: z.int().positive(),
  startStep: count,
  optimizerSteps: count,
  lossScale: lossScaleSchema.optional(),
  nonFinite: skipAllowanceSchema.optional(),
});

/** Arguments of `validate`. */
export const validateSchema = z.strictObject({ epoch: count });

/** Answer to `validate`; the payload has the scores of each sample (see score_bytes.ts). */
export const shardScoresSchema = z.strictObject({
  weight: z.number(),
  /** Samples that were scored. */
  count,
  /** Classes per sample that are put in order. */
  width: count,
  /** Metrics of the user's own; none where the worker has scored nothing. */
  metrics: z.array(z.strictObject({
    /** True when the payload has a value for each sample. */
    valued: z.boolean(),
    sum: measured,
    count: measured,
  })),
  /** The features that the worker keeps so far, when it does. */
  features: z.strictObject({ train: count, val: count, bytes: count }).optional(),
  skipped: skippedSchema,
  /** The first layer with a non-finite output, where an output is non-finite. */
  nonFiniteLayer: z.string().optional(),
});

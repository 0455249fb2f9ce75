/**
 * The command `benchmark`: what a worker is told to measure, and what it answers.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { EXCHANGE_NAMES } from "../exchange/registry.ts";
import { stepTimesShape } from "../base/step_times.ts";
import { GRADIENT_DTYPES } from "../protocol/messages.ts";

const count = z.int().nonnegative();
const milliseconds = z.number().nonnegative();

/** The job of a benchmark's workers. */
export const benchmarkJobSchema = z.strictObject({
  /** `made`: synthetic images; `folder`: those of the job's root. */
  images: z.enum(["made", "folder"]),
  /** Side of synthetic images, in pixels. */
  imageSize: z.int().positive(),
  /** A pause instead of forward, backward and update. */
  pause: z.exactOptional(z.strictObject({
    /** For `rows` samples; other numbers of samples take their share. */
    milliseconds,
    rows: z.int().positive(),
    /** Length of the exchanged vector. */
    vectorBytes: z.int().positive(),
    /** Values of the small vectors that the ranks sum within a step, as synchronized BatchNorm does. */
    moments: z.exactOptional(z.array(z.int().positive())),
  })),
});

/** The job of a benchmark's workers. */
export type BenchmarkJob = z.output<typeof benchmarkJobSchema>;

const lengths = {
  /** Counts the measurements of a cluster from 1; stands in the place of the epoch. */
  round: z.int().positive(),
  /** Steps that are not timed. */
  warmup: count,
  /** Steps that are timed. */
  steps: z.int().positive(),
};

/** Arguments of the command `benchmark`. */
export const benchmarkSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("allReduce"),
    ...lengths,
    /** Length of the vector. */
    bytes: z.int().positive(),
  }),
  z.strictObject({
    kind: z.literal("train"),
    ...lengths,
    /** Samples per step over all ranks. */
    globalBatch: z.int().positive(),
  }),
]);

/** A measurement that a worker is asked for. */
export type Benchmark = z.output<typeof benchmarkSchema>;

/** Answer to an `allReduce` benchmark. */
export const allReduceTimesSchema = z.strictObject({
  /** The exchange that summed. */
  exchange: z.enum(EXCHANGE_NAMES),
  /** The dtype in which the values travelled. */
  dtype: z.enum(GRADIENT_DTYPES),
  /** Of each timed call. */
  milliseconds: z.array(milliseconds),
  /** Greatest relative difference of the last sum from the right one. */
  maxError: z.number(),
  /** Copying as many bytes while every rank does. */
  copyTogether: milliseconds,
  /** Copying as many bytes while the others wait; rank 0 only. */
  copyAlone: milliseconds.optional(),
});

/** One rank's times of an all-reduce. */
export type AllReduceTimes = z.output<typeof allReduceTimesSchema>;

/** Answer to a `train` benchmark. */
export const trainTimesSchema = z.strictObject({
  /** The exchange that summed the gradients. */
  exchange: z.enum(EXCHANGE_NAMES),
  /** Of the timed steps. */
  steps: z.array(z.strictObject(stepTimesShape)),
  /** Length of the exchanged vector. */
  vectorBytes: count,
  /** Mean loss of the last step over all ranks; `null` when it is not finite. */
  loss: z.number().nullable(),
  /** Resident memory of the process after the last step. */
  residentBytes: count,
  /** The time when the first step of all was done: milliseconds since 1970. */
  firstStepAt: milliseconds,
  /** Copying as many bytes as are exchanged while every rank does; only with a pause. */
  copyTogether: milliseconds.optional(),
});

/** One rank's times of training steps. */
export type TrainTimes = z.output<typeof trainTimesSchema>;

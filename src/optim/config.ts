/**
 * The config keys of the optimizer and of the learning-rate schedule.
 *
 * @module
 */
import { z } from "zod";

/** `train.schedule`: how the learning rate changes over the epochs. */
export const scheduleSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant") }),
  z.strictObject({
    name: z.literal("StepLR"),
    /** Epochs between two decays. */
    stepSize: z.int().positive(),
    /** Factor of one decay. */
    gamma: z.number().positive().default(0.1),
  }),
]);

/** Keys of the optimizer, as `train.*`; the names and defaults are those of `torch.optim.SGD`. */
export const optimizerShape = {
  optimizer: z.enum(["sgd"]).default("sgd"),
  /** Learning rate before the schedule. */
  lr: z.number().nonnegative().default(0.001),
  momentum: z.number().min(0).max(1).default(0.9),
  dampening: z.number().min(0).max(1).default(0),
  /** L2 penalty, added to the gradient as PyTorch does. */
  weightDecay: z.number().nonnegative().default(0),
  nesterov: z.boolean().default(false),
  schedule: scheduleSchema.default({ name: "constant" }),
};

/** A learning-rate schedule as configured. */
export type ScheduleConfig = z.output<typeof scheduleSchema>;

/** Settings of SGD, as configured. */
export interface SgdConfig {
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
}

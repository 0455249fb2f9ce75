/**
 * The description of a learning-rate schedule: its keys, and the rate as a function of time.
 *
 * @module
 */
import type { z } from "../deps/zod.ts";

/** The time of a schedule after the warm-up, in epochs or steps as `per` says. */
export interface ScheduleTime {
  readonly time: number;
  /** The whole time. */
  readonly whole: number;
}

/** The end of a schedule's time, in epochs or steps as `per` says. */
export interface ScheduleEnd {
  /** The whole time, with the warm-up. */
  readonly whole: number;
  readonly warmup: number;
  /** `epochs` or `steps`. */
  readonly unit: string;
}

/** The description of a schedule; names, keys and defaults are those of `torch.optim.lr_scheduler`, in camelCase. */
export interface ScheduleDeclaration<Keys extends z.ZodRawShape> {
  /** Keys of `train.schedule` that it has, beside `name`, `per` and `warmup`. */
  readonly keys: Keys;
  /** Returns the learning rate at a time, from the rate before the schedule. */
  rateAt(config: z.output<z.ZodObject<Keys>>, rate: number, at: ScheduleTime): number;
  /** The cure when the rate isn't a finite float32, such as `give a smaller gamma`. */
  readonly cure: string;
  /** Returns what doesn't fit into the run, as a sentence that begins with the key; `undefined` if all does. */
  problem?(config: z.output<z.ZodObject<Keys>>, end: ScheduleEnd): string | undefined;
}

/** Types a declaration by its keys. */
export function declareSchedule<Keys extends z.ZodRawShape>(
  declaration: ScheduleDeclaration<Keys>,
): ScheduleDeclaration<Keys> {
  return declaration;
}

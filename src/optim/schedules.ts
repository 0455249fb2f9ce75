/**
 * The list of schedules: each file exports a declaration, under the name that `train.schedule.name` takes.
 *
 * @module
 */
export * from "./schedules/constant.ts";
export * from "./schedules/cosine_annealing_lr.ts";
export * from "./schedules/exponential_lr.ts";
export * from "./schedules/multi_step_lr.ts";
export * from "./schedules/step_lr.ts";

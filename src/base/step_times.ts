/**
 * The parts of a training step, and the durations of each.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/**
 * A part of one rank's step; the durations of all parts add up to the step's. `data` is the wait for the next batch,
 * `exchange` the all-reduce with its wait for slower ranks.
 */
export type StepPart = "data" | "forwardBackward" | "exchange" | "update";

/** Milliseconds of the parts of one rank's step. */
export type StepTimes = Readonly<Record<StepPart, number>>;

const milliseconds = z.number().nonnegative();

/** Fields of {@linkcode StepTimes} in a message or a record. */
export const stepTimesShape = {
  data: milliseconds,
  forwardBackward: milliseconds,
  exchange: milliseconds,
  update: milliseconds,
} satisfies Record<StepPart, typeof milliseconds>;

/** Returns one value per part of a step. */
export function perStepPart<Value>(valueOf: (part: StepPart) => Value): Record<StepPart, Value> {
  return {
    data: valueOf("data"),
    forwardBackward: valueOf("forwardBackward"),
    exchange: valueOf("exchange"),
    update: valueOf("update"),
  };
}

/**
 * The parts of a step over all ranks: `exchange` is the least time of any rank in the all-reduce, `idle` the mean wait
 * beyond it.
 */
export const BREAKDOWN_PARTS = ["data", "forwardBackward", "exchange", "idle", "update"] as const;

/** A part of a step over all ranks. */
export type BreakdownPart = (typeof BREAKDOWN_PARTS)[number];

/** Milliseconds of the parts of a step, means over the ranks; they add up to the step. */
export type StepBreakdown = Readonly<Record<BreakdownPart, number>>;

/** Returns one value per part of a step over all ranks. */
export function perBreakdownPart<Value>(
  valueOf: (part: BreakdownPart) => Value,
): Record<BreakdownPart, Value> {
  const { update, ...before } = perStepPart(valueOf);
  return { ...before, idle: valueOf("idle"), update };
}

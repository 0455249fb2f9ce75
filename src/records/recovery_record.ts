/**
 * A recovery of a run from lost workers, as `history.json` holds it.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/** The way in which a run goes on: lost workers started again, without them, or all back at the last checkpoint. */
export type RecoveryPolicy = "restart" | "shrink" | "checkpoint";

const count = z.int().nonnegative();

/** One recovery, as it is written. */
export const recoverySchema = z.object({
  time: z.string(),
  epoch: count,
  step: count,
  policy: z.enum(["restart", "shrink", "checkpoint"]),
  ranks: z.array(count),
  reasons: z.array(z.string()),
  workers: z.int().positive(),
  seconds: z.number().nonnegative(),
});

/** A recovery of a run from lost workers. */
export interface RecoveryRecord {
  /** The time at which the run went on (ISO 8601, UTC). */
  time: string;
  /** The epoch in which it went on, counted from 1. */
  epoch: number;
  /** Steps of that epoch that were done when it went on. */
  step: number;
  /** The way in which it went on. */
  policy: RecoveryPolicy;
  /** The ranks that were lost. */
  ranks: number[];
  /** A sentence for each of these ranks, in their order. */
  reasons: string[];
  /** Workers of the run from then on. */
  workers: number;
  /** Time from noticing the first loss until all workers went on. */
  seconds: number;
}

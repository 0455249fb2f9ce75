/**
 * Means over the seeds of a variant, epoch by epoch.
 *
 * @module
 */
import type { EpochRecord } from "../../records/history.ts";
import type { ComparedRun } from "../comparison.ts";
import { spreadOf } from "../spread.ts";

/** A number of an epoch. */
export type Measure = (record: EpochRecord) => number;

/** The mean over the runs that have the epoch, counted from 1; NaN where none has a finite value. */
export function meanAt(runs: readonly ComparedRun[], epoch: number, measure: Measure): number {
  return spreadOf(runs.flatMap(({ epochs }) => {
    const record = epochs[epoch - 1];
    return record ? [measure(record)] : [];
  })).mean;
}

/** The most epochs that a run has. */
export function epochsOf(runs: readonly ComparedRun[]): number {
  return Math.max(0, ...runs.map(({ epochs }) => epochs.length));
}

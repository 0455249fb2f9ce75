/**
 * A rank's record of a step, as numbers in shared memory.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import { perStepPart, type StepPart, type StepTimes } from "../base/step_times.ts";
import type { StepContribution } from "./gradient_exchange.ts";

/** The numbers of a contribution, in their order. */
const COUNTS = [
  "epoch",
  "step",
  "samples",
  "weight",
  "lossSum",
  "correct",
  "statisticsRows",
  "trackedBatches",
] as const satisfies readonly (keyof StepContribution)[];

/** The parts of a step's time, in their order. */
const PARTS = [
  "data",
  "forwardBackward",
  "exchange",
  "update",
] as const satisfies readonly StepPart[];

/** The positions of the other numbers; a rank, as a position in the list of ranks, is stored plus 1. */
const AT = { times: 8, hasTimes: 12, finite: 13, worstRank: 14, squares: 15 } as const;

/** Numbers of a record. */
export const RECORD_LENGTH = 16;

/** The result of a rank's share of a sum. */
export interface ShareResult {
  readonly finite: boolean;
  /** The first rank whose own values are not finite, if there is one. */
  readonly worstRank: number | undefined;
  /** Sum of the squares of the share's gradients, where it is needed. */
  readonly squares: number;
}

/** A rank's record of a step. */
export interface StepRecord
  extends StepKey, Required<Omit<StepContribution, "times">>, ShareResult {
  readonly times: StepTimes | undefined;
}

/** Writes a contribution into a record. */
export function writeContribution(record: Float64Array, own: StepContribution): void {
  const { samples, statisticsRows = samples, trackedBatches = 0, times } = own;
  const counts = { ...own, statisticsRows, trackedBatches };
  COUNTS.forEach((name, at) => record[at] = counts[name]);
  PARTS.forEach((part, at) => record[AT.times + at] = times?.[part] ?? 0);
  record[AT.hasTimes] = times ? 1 : 0;
}

/** Writes the result of a rank's share into the rank's record. */
export function writeShare(record: Float64Array, share: ShareResult): void {
  record[AT.finite] = share.finite ? 1 : 0;
  record[AT.worstRank] = share.worstRank === undefined ? 0 : share.worstRank + 1;
  record[AT.squares] = share.squares;
}

/** Reads a record; the share's result means nothing before it is written. */
export function readRecord(record: Float64Array): StepRecord {
  const number = (name: typeof COUNTS[number]) => record[COUNTS.indexOf(name)]!;
  const worstRank = record[AT.worstRank]!;
  return {
    epoch: number("epoch"),
    step: number("step"),
    samples: number("samples"),
    weight: number("weight"),
    lossSum: number("lossSum"),
    correct: number("correct"),
    statisticsRows: number("statisticsRows"),
    trackedBatches: number("trackedBatches"),
    times: record[AT.hasTimes] === 1
      ? perStepPart((part) => record[AT.times + PARTS.indexOf(part)]!)
      : undefined,
    finite: record[AT.finite] === 1,
    worstRank: worstRank === 0 ? undefined : worstRank - 1,
    squares: record[AT.squares]!,
  };
}

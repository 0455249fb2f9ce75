/**
 * The ranks' records of a step, as numbers in shared memory.
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import { itemAt } from "../base/item_at.ts";
import type { StepKey } from "../base/step_key.ts";
import { perStepPart, type StepPart, type StepTimes } from "../base/step_times.ts";
import type { StepContribution } from "./gradient_exchange.ts";

/**
 * The position of each number of a record; a rank, as a position in the list of ranks, is stored plus 1. Where there are
 * no times, the first of them is below 0; where there is no digest, it is 0.
 */
const AT = {
  ...{ epoch: 0, step: 1, samples: 2, weight: 3, lossSum: 4, correct: 5 },
  ...{ statisticsRows: 6, trackedBatches: 7, times: 8, digest: 12 },
  ...{ finite: 13, worstRank: 14, squares: 15 },
} as const;

/** Numbers of a record. */
export const RECORD_LENGTH = 16;

/** The parts of a step's time, in their order. */
const PARTS = [
  "data",
  "forwardBackward",
  "exchange",
  "update",
] as const satisfies readonly StepPart[];

/** The result of a rank's share of a sum. */
export interface ShareResult {
  readonly finite: boolean;
  /** The first rank whose own values are not finite, if there is one. */
  readonly worstRank: number | undefined;
  /** Sum of the squares of the share's gradients, where it is needed. */
  readonly squares: number;
}

/** A rank's contribution to a step, without its vector, and the result of its share of the sum. */
export type RecordFacts = Omit<StepRecord, "contribute" | "copy" | "share" | "numbers">;

/**
 * A rank's record of a step, whose numbers are read where they stand: reading one allocates nothing. The share's result
 * means nothing before it is written.
 */
export class StepRecord
  implements StepKey, Required<Omit<StepContribution, "times" | "digest">>, ShareResult {
  readonly #numbers: Float64Array;

  /** @param numbers As many as {@linkcode RECORD_LENGTH} */
  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
  }

  /** Its numbers, where they stand. */
  get numbers(): Float64Array {
    return this.#numbers;
  }

  get epoch(): number {
    return this.#numbers[AT.epoch]!;
  }
  get step(): number {
    return this.#numbers[AT.step]!;
  }
  get samples(): number {
    return this.#numbers[AT.samples]!;
  }
  get weight(): number {
    return this.#numbers[AT.weight]!;
  }
  get lossSum(): number {
    return this.#numbers[AT.lossSum]!;
  }
  get correct(): number {
    return this.#numbers[AT.correct]!;
  }
  get statisticsRows(): number {
    return this.#numbers[AT.statisticsRows]!;
  }
  get trackedBatches(): number {
    return this.#numbers[AT.trackedBatches]!;
  }
  get finite(): boolean {
    return this.#numbers[AT.finite] === 1;
  }
  get worstRank(): number | undefined {
    const stored = this.#numbers[AT.worstRank]!;
    return stored === 0 ? undefined : stored - 1;
  }
  get squares(): number {
    return this.#numbers[AT.squares]!;
  }
  get times(): StepTimes | undefined {
    const numbers = this.#numbers;
    if (numbers[AT.times]! < 0) return undefined;
    return perStepPart((part) => numbers[AT.times + PARTS.indexOf(part)]!);
  }

  get digest(): number | undefined {
    return this.#numbers[AT.digest] || undefined;
  }

  /** Writes a contribution. */
  contribute(own: StepContribution): void {
    this.#numbers[AT.epoch] = own.epoch;
    this.#numbers[AT.step] = own.step;
    this.#numbers[AT.samples] = own.samples;
    faultPoint("record");
    this.#write(own);
  }

  /** Writes what a rank, maybe of another host, has recorded. */
  copy(record: RecordFacts): void {
    this.#numbers[AT.epoch] = record.epoch;
    this.#numbers[AT.step] = record.step;
    this.#numbers[AT.samples] = record.samples;
    this.#write(record);
    this.share(record);
  }

  #write(own: StepContribution | RecordFacts): void {
    const numbers = this.#numbers;
    const { samples, times, digest = 0 } = own;
    numbers[AT.weight] = own.weight;
    numbers[AT.lossSum] = own.lossSum;
    numbers[AT.correct] = own.correct;
    numbers[AT.statisticsRows] = own.statisticsRows ?? samples;
    numbers[AT.trackedBatches] = own.trackedBatches ?? 0;
    for (let at = 0; at < PARTS.length; at++) {
      numbers[AT.times + at] = times?.[itemAt(PARTS, at)] ?? -1;
    }
    numbers[AT.digest] = digest;
  }

  /** Writes the result of the rank's share. */
  share({ finite, worstRank, squares }: ShareResult): void {
    const numbers = this.#numbers;
    numbers[AT.finite] = finite ? 1 : 0;
    numbers[AT.worstRank] = worstRank === undefined ? 0 : worstRank + 1;
    numbers[AT.squares] = squares;
  }
}

/** Returns the records of a copy, in the order of the ranks. */
export function recordsIn(numbers: Float64Array): StepRecord[] {
  return Array.from(
    { length: numbers.length / RECORD_LENGTH },
    (_, rank) => new StepRecord(numbers.subarray(rank * RECORD_LENGTH, (rank + 1) * RECORD_LENGTH)),
  );
}

/** The records of all ranks, of the last steps. */
export class StepRecords {
  readonly #numbers: Float64Array;
  /** By the step's number modulo the number of steps that are kept, then by rank. */
  readonly #slots: readonly (readonly StepRecord[])[];

  /**
   * @param numbers All records' numbers
   * @param slots Steps that are kept
   */
  constructor(numbers: Float64Array, worldSize: number, slots: number) {
    this.#numbers = numbers;
    this.#slots = Array.from(
      { length: slots },
      (_, slot) =>
        Array.from({ length: worldSize }, (_, rank) => {
          const begin = (rank * slots + slot) * RECORD_LENGTH;
          return new StepRecord(numbers.subarray(begin, begin + RECORD_LENGTH));
        }),
    );
  }

  /** The records of a step, in the order of the ranks. */
  of(index: number): readonly StepRecord[] {
    return itemAt(this.#slots, index % this.#slots.length);
  }

  /** A copy of a step's numbers, rank after rank. */
  copy(index: number): Float64Array<ArrayBuffer> {
    const records = this.of(index);
    const copy = new Float64Array(records.length * RECORD_LENGTH);
    records.forEach((record, rank) => copy.set(record.numbers, rank * RECORD_LENGTH));
    return copy;
  }

  /** Forgets all. */
  clear(): void {
    this.#numbers.fill(0);
  }
}

/**
 * Memory for the small vectors that the ranks of a host sum in the midst of a step.
 *
 * @module
 */

import { LockstepError } from "../base/errors.ts";

/** Values that the ranks sum at once; longer vectors are summed piece by piece. */
export const MAX_SMALL_VALUES = 4096;

/** Places of a rank, used in turn: a rank may write its next values while others still read the last ones. */
const PLACES = 2;

/** Numbers of a place: the length of the values, then the values. */
const PLACE_LENGTH = 1 + MAX_SMALL_VALUES;

/** Bytes of the memory. */
export function smallValuesBytes(worldSize: number): number {
  return worldSize * PLACES * PLACE_LENGTH * Float64Array.BYTES_PER_ELEMENT;
}

/** The values of all ranks. */
export class SmallValues {
  readonly #worldSize: number;
  readonly #values: Float64Array<ArrayBuffer>;

  /** @param values As many as {@linkcode smallValuesBytes} */
  constructor(values: Float64Array<ArrayBuffer>, worldSize: number) {
    this.#values = values;
    this.#worldSize = worldSize;
  }

  /** Writes a rank's values of a round. */
  write(rank: number, round: number, values: Float64Array): void {
    const place = this.#place(rank, round);
    place[0] = values.length;
    place.set(values, 1);
  }

  /** The values of all ranks in a round, in order. */
  of(round: number): Float64Array[] {
    return Array.from({ length: this.#worldSize }, (_, rank) => {
      const place = this.#place(rank, round);
      return place.subarray(1, 1 + place[0]!);
    });
  }

  #place(rank: number, round: number): Float64Array {
    const begin = (rank * PLACES + round % PLACES) * PLACE_LENGTH;
    return this.#values.subarray(begin, begin + PLACE_LENGTH);
  }
}

/**
 * Adds vectors in their order, which is the ranks'.
 *
 * @throws {LockstepError} when one is of another length than the sum
 */
export function sumSmall(sum: Float64Array, all: readonly Float64Array[]): void {
  sum.fill(0);
  for (const [rank, values] of all.entries()) {
    if (values.length !== sum.length) {
      throw new LockstepError(
        `Rank ${rank} brings ${values.length} values to a small sum, another rank ${sum.length}: their models or ` +
          "configs differ",
      );
    }
    for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + values[at]!;
  }
}

/** The pieces of a vector that are summed one after the other. */
export function smallPieces(values: Float64Array): Float64Array[] {
  const count = Math.ceil(values.length / MAX_SMALL_VALUES);
  return Array.from(
    { length: count },
    (_, piece) => values.subarray(piece * MAX_SMALL_VALUES, (piece + 1) * MAX_SMALL_VALUES),
  );
}

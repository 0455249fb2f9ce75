/**
 * Memory for the small vectors that the ranks of a host sum in the midst of a step.
 *
 * @module
 */

/** Values that the ranks sum at once; longer vectors are summed piece by piece. */
export const MAX_SMALL_VALUES = 4096;

/** Places of a rank, used in turn: a rank may write its next values while others still read the last ones. */
const PLACES = 2;

/** Bytes of the memory. */
export function smallValuesBytes(worldSize: number): number {
  return worldSize * PLACES * MAX_SMALL_VALUES * Float64Array.BYTES_PER_ELEMENT;
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
    this.#values.set(values, this.#begin(rank, round));
  }

  /** Adds the values of all ranks, in rank order. */
  sumInto(sum: Float64Array, round: number): void {
    sum.fill(0);
    for (let rank = 0; rank < this.#worldSize; rank++) {
      const begin = this.#begin(rank, round);
      for (let at = 0; at < sum.length; at++) sum[at] += this.#values[begin + at];
    }
  }

  #begin(rank: number, round: number): number {
    return (rank * PLACES + round % PLACES) * MAX_SMALL_VALUES;
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

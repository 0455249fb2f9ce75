/**
 * The least time that an all-reduce in memory can take.
 *
 * @module
 */

/**
 * Returns the lower bound of an all-reduce in memory, in milliseconds: each rank reads its nth part of the n vectors
 * and writes its nth part of the sum, while the others do the same, at the speed at which memory moves the bytes of
 * copies (each is read and written).
 *
 * @param copyTogether Milliseconds of copying a vector in each of the ranks at once
 */
export function boundMilliseconds(copyTogether: number, workers: number): number {
  return copyTogether * (1 + 1 / workers) / 2;
}

/**
 * Differences between the values of a device and those of the CPU.
 *
 * @module
 */

/** The difference of two tensors. */
export interface Difference {
  /** The largest difference of two values, relative to the scale; `Infinity` where one alone is not finite. */
  readonly max: number;
  /** Root of the mean square of the differences, relative to that of the expected values. */
  readonly rms: number;
  /** Position of the largest difference. */
  readonly at: number;
}

/**
 * Compares values with the expected ones. Values that are not finite must be the same.
 *
 * @param scale The value that differences are relative to (default: the largest expected one)
 * @throws {RangeError} when the numbers of values differ
 */
export function difference(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  scale = largest(expected),
): Difference {
  if (got.length !== expected.length) {
    throw new RangeError(`${got.length} values in the place of ${expected.length}`);
  }
  let [max, at, squares, expectedSquares] = [0, 0, 0, 0];
  for (let index = 0; index < expected.length; index++) {
    const [a, b] = [got[index], expected[index]];
    if (Object.is(a, b) || a === b) {
      if (Number.isFinite(b)) expectedSquares += b * b;
      continue;
    }
    const error = Math.abs(a - b);
    if (!Number.isFinite(error)) return { max: Infinity, rms: Infinity, at: index };
    squares += error * error;
    expectedSquares += b * b;
    if (error > max) [max, at] = [error, index];
  }
  return {
    max: max / (scale || 1),
    rms: Math.sqrt(squares / (expectedSquares || 1)),
    at,
  };
}

/** Returns the largest absolute value among the finite ones; 0 when there are none. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let index = 0; index < values.length; index++) {
    const size = Math.abs(values[index]);
    if (size > most && size !== Infinity) most = size;
  }
  return most;
}

/** Returns the Euclidean norm. */
export function norm(values: ArrayLike<number>): number {
  let squares = 0;
  for (let index = 0; index < values.length; index++) squares += values[index] ** 2;
  return Math.sqrt(squares);
}

/** Writes a relative error, such as `2.1e-6`. */
export function shownError(error: number): string {
  return error === 0 ? "0" : error.toExponential(1);
}

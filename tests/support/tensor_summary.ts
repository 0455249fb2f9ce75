/**
 * Summaries that the parity fixtures keep in the place of tensors.
 *
 * `scripts/make_parity_fixtures.py` summarizes PyTorch's tensors in the same way.
 *
 * @module
 */
import { deterministicValues } from "./deterministic_fill.ts";

/**
 * The norm; the dot product with the generator's stream "projection", which notices a permutation; the elements at
 * 1/6, 3/6 and 5/6 of the length; and, where it is notable, how far PyTorch's own float32 was off.
 */
export type TensorSummary = readonly [
  norm: number,
  projection: number,
  first: number,
  middle: number,
  last: number,
  deviation?: number,
];

/** Elements up to which a whole tensor is summarized; of larger ones only some rows are, but for the norm. */
const LARGE = 2 ** 22;

/** Every how many rows (of the first axis in PyTorch's layout) of a tensor are summarized. */
export function rowStep(count: number): number {
  return Math.ceil(count / LARGE);
}

let stream: Float32Array = new Float32Array(0);

/**
 * Summarizes a tensor in PyTorch's layout, row-major, in double precision.
 *
 * @param norm That of the whole tensor, when `rows` are only some of its rows
 */
export function summarize(rows: ArrayLike<number>, norm?: number): TensorSummary {
  const count = rows.length;
  if (stream.length < count) stream = deterministicValues("projection", count);
  let squares = 0, projection = 0;
  for (let i = 0; i < count; i++) {
    squares += rows[i] * rows[i];
    projection += rows[i] * stream[i];
  }
  const at = (sixths: number) => rows[Math.floor(sixths * count / 6)];
  return [norm ?? Math.sqrt(squares), projection, at(1), at(3), at(5)];
}

/**
 * Returns the error of a summary: the greatest of the errors of norm and projection, as shares of the expected norm,
 * and of the elements, as shares of the largest of them or, if that is more, of the root mean square.
 *
 * @param count Elements of the tensor
 * @param floor Lower bound of the norm
 */
export function summaryError(
  actual: TensorSummary,
  expected: TensorSummary,
  count: number,
  floor = 0,
): number {
  const norm = Math.max(expected[0] + floor, 1e-300);
  const elements = expected.slice(2, 5) as number[];
  const largest = Math.max(norm / Math.sqrt(count), ...elements.map(Math.abs));
  return Math.max(
    Math.abs(actual[0] - expected[0]) / norm,
    Math.abs(actual[1] - expected[1]) / norm,
    ...elements.map((value, index) => Math.abs(actual[index + 2]! - value) / largest),
  );
}

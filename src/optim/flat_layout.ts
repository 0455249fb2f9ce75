/**
 * The layout of a model's tensors in one flat vector.
 *
 * @module
 */
import { type FloatRange, LINE_FLOATS } from "../base/float_range.ts";

/** Tensors one after the other, each at a cache line; the values between them stay 0. */
export interface FlatLayout {
  /** In the order of the tensors. */
  readonly places: readonly FloatRange[];
  /** Length of the vector. */
  readonly floats: number;
}

/** Lays out tensors of these numbers of elements. */
export function layOut(sizes: readonly number[]): FlatLayout {
  let next = 0;
  const places = sizes.map((size) => {
    const begin = next;
    next = Math.ceil((begin + size) / LINE_FLOATS) * LINE_FLOATS;
    return { begin, end: begin + size };
  });
  return { places, floats: next };
}

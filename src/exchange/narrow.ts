/**
 * Float32 to float16 or bfloat16 and back, in WebAssembly SIMD (narrow.wat).
 *
 * Rounding is IEEE 754's: to nearest, ties to even, with subnormal numbers; what lies beyond the largest number by
 * half a unit or more becomes infinite (nothing is clipped), and a NaN stays one. PyTorch's `fp16_compress_hook`
 * and `bf16_compress_hook` round the same way, but they also add in 16 bits, which the exchange doesn't.
 *
 * ## How far a narrowed sum may be off
 *
 * With u the format's unit roundoff and η half of its least subnormal number ({@linkcode ROUNDING}), a value v is
 * rounded to within u·|v| + η. Each rank's values are rounded once and their float32 sum once more, so with the
 * weights w_r of the ranks r, which add up to W, and any number of ranks below some hundred
 *
 *     |narrowed sum − float32 sum| ≤ 2.1 · (u · Σ_r (w_r / W) · |v_r| + η)
 *
 * where 2 is for the two roundings and 0.1 for their product and for float32's own (at most 2·N·2⁻²⁴ of N ranks).
 *
 * @module
 */
import type { GradientDtype } from "../protocol/messages.ts";
import { NARROW_CODE } from "./narrow_code.ts";

/** The formats of 16 bits. */
export type NarrowDtype = Exclude<GradientDtype, "float32">;

/** The exports of narrow.wat. */
interface Conversions {
  readonly memory: WebAssembly.Memory;
  toFloat16(bytes: number): number;
  toBfloat16(bytes: number): number;
  fromFloat16(bytes: number): void;
  fromBfloat16(bytes: number): void;
}

/** The formats' unit roundoff, half of the least subnormal number, and the largest number. */
export const ROUNDING: Readonly<
  Record<NarrowDtype, { relative: number; absolute: number; largest: number }>
> = {
  float16: { relative: 2 ** -11, absolute: 2 ** -25, largest: 65504 },
  bfloat16: { relative: 2 ** -8, absolute: 2 ** -134, largest: (2 - 2 ** -7) * 2 ** 127 },
};

/** Floats that are worked on at a time. */
const BLOCK = 4096;
const FLOAT_BYTES = 4;
const NARROW_BYTES = 2;
/**
 * The offsets of the values in the passes' memory, float32 and 16 bits. Both lie 1 KiB behind the start of a
 * page, where buffers of JavaScript like to begin: copies between two places of about the same offset in
 * their pages take up to ten times as long on many CPUs ("4K aliasing").
 */
const WIDE = 1024;
const NARROWED = WIDE + BLOCK * FLOAT_BYTES;
/** The size of the pieces in which a block is processed, in bytes of float32. */
const PIECE_BYTES = 16;

const code = Uint8Array.from(atob(NARROW_CODE), (letter) => letter.charCodeAt(0));
const passes = new WebAssembly.Instance(new WebAssembly.Module(code))
  .exports as unknown as Conversions;
const wide = new Float32Array(passes.memory.buffer, WIDE, BLOCK);
const narrowed = new Uint8Array(
  passes.memory.buffer,
  NARROWED,
  BLOCK * NARROW_BYTES,
);

/**
 * The most by which a narrowed sum differs from the float32 one.
 *
 * @param magnitude Σ_r (w_r / W) · |v_r|
 */
export function narrowingBound(dtype: GradientDtype, magnitude: number): number {
  if (dtype === "float32") return 0;
  const { relative, absolute } = ROUNDING[dtype];
  return 2.1 * (relative * magnitude + absolute);
}

/**
 * Rounds float32 values to 16 bits.
 *
 * @param target Two bytes for each value, little-endian
 * @returns Whether some finite value was too large and became infinite
 */
export function narrow(target: Uint8Array, source: Float32Array, dtype: NarrowDtype): boolean {
  const convert = dtype === "float16" ? passes.toFloat16 : passes.toBfloat16;
  let tooLarge = 0;
  for (let begin = 0; begin < source.length; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, source.length);
    const count = end - begin;
    wide.set(source.subarray(begin, end));
    const bytes = Math.ceil(count * FLOAT_BYTES / PIECE_BYTES) * PIECE_BYTES;
    wide.fill(0, count, bytes / FLOAT_BYTES);
    tooLarge |= convert(bytes);
    target.set(narrowed.subarray(0, count * NARROW_BYTES), begin * NARROW_BYTES);
  }
  return tooLarge !== 0;
}

/**
 * The float32 values of 16-bit ones, which all are float32 numbers.
 *
 * @param source Two bytes for each value of `target`, little-endian
 */
export function widen(target: Float32Array, source: Uint8Array, dtype: NarrowDtype): void {
  const convert = dtype === "float16" ? passes.fromFloat16 : passes.fromBfloat16;
  for (let begin = 0; begin < target.length; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, target.length);
    narrowed.set(source.subarray(begin * NARROW_BYTES, end * NARROW_BYTES));
    convert(Math.ceil((end - begin) * FLOAT_BYTES / PIECE_BYTES) * PIECE_BYTES);
    target.set(wide.subarray(0, end - begin), begin);
  }
}

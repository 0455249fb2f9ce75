/**
 * A tensor as weight files hold it: raw bytes with PyTorch's element type and shape.
 *
 * @module
 */

/** Bytes per element of each element type that weight files may hold. */
export const ITEM_SIZES = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const;

/** PyTorch's name of an element type. */
export type TorchDtype = keyof typeof ITEM_SIZES;

/** A tensor in row-major order. */
export interface TorchTensor {
  readonly dtype: TorchDtype;
  /** Sizes of the dimensions; empty for a scalar. */
  readonly shape: readonly number[];
  /** The elements: contiguous, little-endian; may be a view into a file's bytes, at any alignment. */
  readonly data: Uint8Array;
}

/** Tensors by name, in the order of the file. */
export type NamedTensors = ReadonlyMap<string, TorchTensor>;

/** PyTorch's limit of dimensions. */
const MAX_DIMENSIONS = 64;

/**
 * Number of elements of a shape.
 *
 * @returns `undefined` when it is no shape: a size that is no natural number, more than 64 dimensions, or
 * more elements than can be counted
 */
export function elementCount(shape: readonly number[]): number | undefined {
  if (shape.length > MAX_DIMENSIONS) return undefined;
  // Sizes of 0 are taken last: [2^52, 2^52, 0] must not pass for a shape in one order and fail in another.
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    count *= Math.max(size, 1);
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return shape.includes(0) ? 0 : count;
}

/**
 * A tensor's elements as float32, row-major.
 *
 * @returns Rounded to the nearest float32 where the type holds more; shares the memory of `tensor.data` when
 * that is aligned float32
 */
export function toFloat32({ dtype, data }: TorchTensor): Float32Array {
  const aligned = data.byteOffset % ITEM_SIZES[dtype] === 0 ? data : data.slice();
  const { buffer, byteOffset } = aligned;
  const length = data.byteLength / ITEM_SIZES[dtype];
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer, byteOffset, length);
    case "float64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, length));
    case "float16":
      return Float32Array.from(new Float16Array(buffer, byteOffset, length));
    case "bfloat16":
      return fromBfloat16(new Uint16Array(buffer, byteOffset, length));
    case "int64":
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case "int32":
      return Float32Array.from(new Int32Array(buffer, byteOffset, length));
    case "int16":
      return Float32Array.from(new Int16Array(buffer, byteOffset, length));
    case "int8":
      return Float32Array.from(new Int8Array(buffer, byteOffset, length));
    case "uint8":
    case "bool":
      return Float32Array.from(aligned);
  }
}

/** A bfloat16 is the upper half of a float32. */
function fromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

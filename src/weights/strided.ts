/**
 * Tensors as views: from a storage, an offset, sizes and strides to contiguous bytes.
 *
 * @module
 */
import { elementCount, ITEM_SIZES, type TorchTensor } from "./torch_tensor.ts";
import type { TensorRef } from "./torch_pickle.ts";

/** The reason why a tensor is refused, as part of a message. */
export class StrideError extends Error {}

/** Limits the bytes that are copied: strides of 0 make tensors of any size out of a single element. */
export class CopyAllowance {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) {
      throw new StrideError("its tensors are many times larger than their storages");
    }
  }
}

/**
 * A tensor's elements in row-major order.
 *
 * @param storage Bytes of the tensor's whole storage
 * @returns A view into `storage` where the tensor is contiguous there, else a copy
 * @throws {StrideError} when the tensor doesn't lie within its storage
 */
export function materialize(
  tensor: TensorRef,
  storage: Uint8Array,
  allowance: CopyAllowance,
): TorchTensor {
  const { dtype, shape, strides, offset, storage: part } = tensor;
  const itemSize = ITEM_SIZES[dtype];
  const count = elementCount(shape);
  if (count === undefined || strides.length !== shape.length) {
    throw new StrideError(
      `it has the shape [${shape.slice(0, 8)}] with strides [${strides.slice(0, 8)}]`,
    );
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, offset);
  if (count > 0 && !(last < part.count)) {
    throw new StrideError(
      `it reaches element ${last} of its storage ${part.storage.key}, which has ${part.count}`,
    );
  }
  const start = count > 0 ? (part.offset + offset) * itemSize : 0;
  const bytes = count * itemSize;
  if (isContiguous(shape, strides) || count === 0) {
    return { dtype, shape, data: storage.subarray(start, start + bytes) };
  }
  allowance.take(bytes);
  const source = storage.subarray(start, (part.offset + last + 1) * itemSize);
  return { dtype, shape, data: gather(source, shape, strides, itemSize, count) };
}

/** Tells whether neighbours follow each other in row-major order; dimensions of size 1 have no neighbours. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i]!;
    if (size === 1) continue;
    if (strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

function gather(
  source: Uint8Array,
  shape: readonly number[],
  strides: readonly number[],
  itemSize: number,
  count: number,
): Uint8Array {
  const target = new Uint8Array(count * itemSize);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0; // in elements
  for (let to = 0; to < target.length; to += itemSize) {
    for (let byte = 0; byte < itemSize; byte++) target[to + byte] = source[from * itemSize + byte]!;
    for (let i = shape.length - 1; i >= 0; i--) {
      const [size, stride] = [shape[i]!, strides[i]!];
      from += stride;
      if (++index[i]! < size) break;
      from -= stride * size;
      index[i] = 0;
    }
  }
  return target;
}

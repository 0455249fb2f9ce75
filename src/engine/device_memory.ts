/**
 * float32 memory on the device that computes, at a fixed place: state and gradients that tensors look at.
 *
 * @module
 */
import { addressOf, alignedBytes } from "../base/aligned_memory.ts";
import { bytesIn, type FloatRange } from "../base/float_range.ts";
import {
  allocateCudaMemory,
  type CudaAddress,
  CudaStream,
  deviceIdle,
  freeCudaMemory,
} from "./binding/cuda_memory.ts";
import { putInto } from "./inplace_ops.ts";
import { isGpuOpen } from "./native_runtime.ts";
import { tf } from "./tf.ts";
import { deviceViewOf, readInto, viewOf } from "./transfer.ts";

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Memory of the device: on the CPU it is memory of this process, or a part of a segment that processes share. */
export interface DeviceMemory extends Disposable {
  readonly byteLength: number;
  /** Its place in the device's address space. */
  readonly address: bigint;
  /** The memory itself, where the device is the CPU. */
  readonly host?: Uint8Array<ArrayBuffer>;
  /**
   * A float32 tensor that looks at some of the memory without a copy; the caller disposes of it.
   *
   * @param beginFloat The tensor's first float
   */
  view(shape: readonly number[], beginFloat?: number): tf.Tensor;
  /** Copies bytes in; they are there when the promise resolves. The caller keeps ops from the memory meanwhile. */
  upload(bytes: Uint8Array<ArrayBuffer>, beginByte?: number): Promise<void>;
  /** Copies bytes out, once the ops that write them are done. */
  download(into: Uint8Array<ArrayBuffer>, beginByte?: number): Promise<void>;
}

/**
 * Allocates zeros on the device that the engine computes on: the CPU while it isn't open.
 *
 * @throws {EngineError} of the code `RESOURCE_EXHAUSTED` when a GPU has too little memory left
 */
export function allocateDeviceMemory(byteLength: number): DeviceMemory {
  return isGpuOpen() ? new GpuMemory(byteLength) : hostMemory(alignedBytes(byteLength));
}

/**
 * Memory of the CPU.
 *
 * @param bytes Aligned to 64 bytes
 */
export function hostMemory(bytes: Uint8Array<ArrayBuffer>): DeviceMemory {
  return new HostMemory(bytes);
}

class HostMemory implements DeviceMemory {
  readonly host: Uint8Array<ArrayBuffer>;

  constructor(host: Uint8Array<ArrayBuffer>) {
    this.host = host;
  }

  get byteLength(): number {
    return this.host.byteLength;
  }

  get address(): bigint {
    return addressOf(this.host);
  }

  view(shape: readonly number[], beginFloat = 0): tf.Tensor {
    const floats = shape.reduce((product, side) => product * side, 1);
    const begin = beginFloat * FLOAT_BYTES;
    return viewOf(shape, this.host.subarray(begin, begin + floats * FLOAT_BYTES));
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async upload(bytes: Uint8Array<ArrayBuffer>, beginByte = 0): Promise<void> {
    this.host.set(bytes, beginByte);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async download(into: Uint8Array<ArrayBuffer>, beginByte = 0): Promise<void> {
    into.set(this.host.subarray(beginByte, beginByte + into.byteLength));
  }

  /** The memory belongs to its maker. */
  [Symbol.dispose](): void {}
}

/** Memory of the GPU, outside of what TensorFlow allocates; the addresses of allocations are multiples of 256. */
class GpuMemory implements DeviceMemory {
  readonly byteLength: number;
  readonly address: CudaAddress;
  readonly #copies = new CudaStream();
  #isFreed = false;

  constructor(byteLength: number) {
    this.byteLength = byteLength;
    this.address = allocateCudaMemory(byteLength);
  }

  view(shape: readonly number[], beginFloat = 0): tf.Tensor {
    const floats = shape.reduce((product, side) => product * side, 1);
    return deviceViewOf(shape, this.#at(beginFloat * FLOAT_BYTES, floats * FLOAT_BYTES));
  }

  async upload(bytes: Uint8Array<ArrayBuffer>, beginByte = 0): Promise<void> {
    const to = this.#at(beginByte, bytes.byteLength);
    await deviceIdle(); // ops that were given before may still use what the memory holds
    await this.#copies.copyPageable(to, addressOf(bytes), bytes.byteLength);
  }

  async download(into: Uint8Array<ArrayBuffer>, beginByte = 0): Promise<void> {
    const from = this.#at(beginByte, into.byteLength);
    await deviceIdle();
    await this.#copies.copyPageable(addressOf(into), from, into.byteLength);
  }

  /** @throws {RangeError} when the range isn't within the memory */
  #at(beginByte: number, byteLength: number): CudaAddress {
    if (beginByte < 0 || beginByte + byteLength > this.byteLength || this.#isFreed) {
      throw new RangeError(
        `${byteLength} bytes at ${beginByte} aren't within ` +
          (this.#isFreed ? "memory that was freed" : `${this.byteLength} bytes of the GPU`),
      );
    }
    return this.address + BigInt(beginByte);
  }

  [Symbol.dispose](): void {
    if (this.#isFreed) return;
    this.#isFreed = true;
    this.#copies[Symbol.dispose]();
    freeCudaMemory(this.address);
  }
}

/** Copies a range of a vector to the same range of another of the same device. */
export function copyRange(source: DeviceMemory, target: DeviceMemory, range: FloatRange): void {
  const { begin, end } = range;
  if (end === begin) return;
  if (source.host && target.host) {
    bytesIn(target.host, range).set(bytesIn(source.host, range));
    return;
  }
  const [from, to] = [source, target].map((memory) => memory.view([1, end - begin], begin));
  tf.dispose([putInto(to, from), from, to]);
}

/** Copies a float32 tensor into memory of its device, from float `begin` on. */
export function writeTensor(target: DeviceMemory, tensor: tf.Tensor, begin = 0): void {
  const end = begin + tensor.size;
  if (target.host) return readInto(tensor, bytesIn(target.host, { begin, end }));
  const view = target.view([1, tensor.size], begin);
  tf.dispose([putInto(view, tensor), view]);
}

/** Fills a range with zeros. */
export function fillWithZeros(target: DeviceMemory, { begin, end }: FloatRange): void {
  if (end === begin) return;
  if (target.host) {
    bytesIn(target.host, { begin, end }).fill(0);
    return;
  }
  const zeros = tf.zeros([end - begin]);
  writeTensor(target, zeros, begin);
  zeros.dispose();
}

/**
 * The memory of the CPU behind device memory.
 *
 * @throws {TypeError} when it is a GPU's
 */
export function hostOf({ host }: DeviceMemory): Uint8Array<ArrayBuffer> {
  if (!host) throw new TypeError("Memory of a GPU was taken for memory of the CPU");
  return host;
}

/**
 * A rank's fake GPU in a process that plays several ranks, for programs that run with a fake machine's environment.
 *
 * @module
 */
import { delay } from "../../../src/base/async.ts";
import type { FloatRange } from "../../../src/base/float_range.ts";
import { Nccl } from "../../../src/engine/binding/nccl.ts";
import type { DeviceMemory } from "../../../src/engine/device_memory.ts";
import type { NcclDevice } from "../../../src/engine/nccl_device.ts";
import { type Address, FakeDriver } from "./driver.ts";

let opened: FakeDriver | undefined;

/** Memory of a fake GPU: memory of this process, too. */
export interface FakeMemory {
  readonly address: Address;
  readonly floats: Float32Array<ArrayBuffer>;
}

/** A fake GPU and a stream on it. */
export class RankDevice {
  readonly driver: FakeDriver = opened ??= new FakeDriver();
  readonly device: number;
  readonly stream: Address;

  constructor(device: number) {
    this.device = device;
    this.enter();
    this.stream = this.driver.stream();
  }

  /** Makes the GPU that of this thread. */
  enter(): void {
    this.driver.makeCurrent(this.device);
  }

  /** Allocates memory. */
  allocate(floats: number): FakeMemory {
    this.enter();
    const bytes = Math.max(4, 4 * floats);
    const address = this.driver.allocate(bytes);
    const view = new Deno.UnsafePointerView(Deno.UnsafePointer.create(address)!);
    return { address, floats: new Float32Array(view.getArrayBuffer(bytes), 0, floats) };
  }

  /** Resolves when the stream has worked off all that it was given. */
  async done(): Promise<void> {
    for (;;) {
      this.enter();
      if (this.driver.raw.cuStreamQuery(this.stream) === 0) return;
      await delay(1);
    }
  }
}

/**
 * Memory of a fake GPU as the product sees it, without tensors. It is memory of this process, too, by which tests look
 * into it.
 */
class FakeDeviceMemory implements DeviceMemory {
  readonly #floats: Float32Array<ArrayBuffer>;
  readonly address: Address;

  constructor({ address, floats }: FakeMemory) {
    this.address = address;
    this.#floats = floats;
  }

  get byteLength(): number {
    return this.#floats.byteLength;
  }

  get host(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#floats.buffer, 0, this.byteLength);
  }

  view(): never {
    throw new TypeError("Memory of a fake GPU has no tensors without an engine");
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async upload(bytes: Uint8Array, beginByte = 0): Promise<void> {
    this.host.set(bytes, beginByte);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async download(into: Uint8Array, beginByte = 0): Promise<void> {
    into.set(this.host.subarray(beginByte, beginByte + into.length));
  }

  /** Stays until the process ends: an operation that was aborted may still be enqueued. */
  [Symbol.dispose](): void {}
}

/** The fake GPU of a rank among several of one process, as an exchange by NCCL uses it. */
export function fakeNcclDevice(device: number, nvidia: string): NcclDevice {
  const gpu = new RankDevice(device);
  return {
    uuid: gpu.driver.uuids()[device]!,
    open: (deterministic) => Promise.resolve(Nccl.open({ nvidia, deterministic })),
    stream: () => {
      gpu.enter();
      return {
        handle: gpu.stream,
        clear: (address, byteLength) => {
          const pointer = Deno.UnsafePointer.create(address)!;
          new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength)).fill(0);
        },
        done: () => gpu.done(),
        [Symbol.dispose]: () => {},
      };
    },
    allocate: (byteLength) => new FakeDeviceMemory(gpu.allocate(byteLength / 4)),
    isFinite: (memory, { begin, end }: FloatRange) => {
      const values = new Float32Array(memory.host!.buffer).subarray(begin, end);
      return Promise.resolve(values.every(Number.isFinite));
    },
  };
}

/**
 * The fake driver by FFI, for programs that run with a fake machine's environment.
 *
 * @module
 */

import { join } from "node:path";
import { type CudaRecord, readRecord, recordFolder } from "./record.ts";

const SYMBOLS = {
  fake_cuda_write_record: { parameters: [], result: "void" },
  cuInit: { parameters: ["u32"], result: "i32" },
  cuDeviceGetCount: { parameters: ["buffer"], result: "i32" },
  cuDeviceGetName: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  cuDeviceGetUuid: { parameters: ["buffer", "i32"], result: "i32" },
  cuDevicePrimaryCtxRetain: { parameters: ["buffer", "i32"], result: "i32" },
  cuCtxSetCurrent: { parameters: ["u64"], result: "i32" },
  cuCtxSynchronize: { parameters: [], result: "i32" },
  cuMemAlloc_v2: { parameters: ["buffer", "usize"], result: "i32" },
  cuMemAllocHost_v2: { parameters: ["buffer", "usize"], result: "i32" },
  cuMemHostRegister_v2: { parameters: ["buffer", "usize", "u32"], result: "i32" },
  cuMemcpyHtoD_v2: { parameters: ["u64", "buffer", "usize"], result: "i32" },
  cuMemcpyHtoDAsync_v2: { parameters: ["u64", "buffer", "usize", "u64"], result: "i32" },
  cuMemcpyDtoHAsync_v2: { parameters: ["buffer", "u64", "usize", "u64"], result: "i32" },
  cuStreamCreate: { parameters: ["buffer", "u32"], result: "i32" },
  cuStreamSynchronize: { parameters: ["u64"], result: "i32", nonblocking: true },
  cuStreamQuery: { parameters: ["u64"], result: "i32" },
  cuStreamWaitEvent: { parameters: ["u64", "u64", "u32"], result: "i32" },
  cuStreamWaitValue32_v2: { parameters: ["u64", "u64", "u32", "u32"], result: "i32" },
  cuEventCreate: { parameters: ["buffer", "u32"], result: "i32" },
  cuEventRecord: { parameters: ["u64", "u64"], result: "i32" },
  cuModuleLoadData: { parameters: ["buffer", "buffer"], result: "i32" },
  cuLaunchKernel: {
    parameters: ["u64", "u32", "u32", "u32", "u32", "u32", "u32", "u32", "u64", "u64", "u64"],
    result: "i32",
  },
} as const;

/** Address in the memory of a device or of the host, or a handle; 0n for none. */
export type Address = bigint;

/** The driver's functions; each throws on an error, with the code in the message. */
export class FakeDriver {
  readonly raw: Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

  /** @param path Library; the name alone for the one that the loader finds */
  constructor(path = "libcuda.so.1") {
    this.raw = Deno.dlopen(path, SYMBOLS).symbols;
  }

  /** Writes this process's record, and reads it. */
  async ownRecord(): Promise<CudaRecord> {
    this.raw.fake_cuda_write_record();
    return await readRecord(join(recordFolder(), `${Deno.pid}.json`));
  }

  /** Makes the primary context of a device current in this thread. */
  makeCurrent(device: number): void {
    check("cuInit", this.raw.cuInit(0));
    const context = this.#made(
      "cuDevicePrimaryCtxRetain",
      (out) => this.raw.cuDevicePrimaryCtxRetain(out, device),
    );
    check("cuCtxSetCurrent", this.raw.cuCtxSetCurrent(context));
  }

  /** The UUIDs of the devices that CUDA shows, in its order, without their prefix. */
  uuids(): string[] {
    const count = new Int32Array(1);
    check("cuDeviceGetCount", this.raw.cuDeviceGetCount(count));
    return Array.from({ length: count[0]! }, (_, device) => {
      const uuid = new Uint8Array(16);
      check("cuDeviceGetUuid", this.raw.cuDeviceGetUuid(uuid, device));
      return uuid.toHex();
    });
  }

  /** Allocates memory of the current device. */
  allocate(bytes: number): Address {
    return this.#made("cuMemAlloc", (out) => this.raw.cuMemAlloc_v2(out, BigInt(bytes)));
  }

  /** Allocates pinned memory of the host, and returns a view of it. */
  pinned(bytes: number): Uint8Array<ArrayBuffer> {
    const address = this.#made(
      "cuMemAllocHost",
      (out) => this.raw.cuMemAllocHost_v2(out, BigInt(bytes)),
    );
    const pointer = Deno.UnsafePointer.create(address)!;
    return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, bytes));
  }

  /** Makes a stream. */
  stream(): Address {
    return this.#made("cuStreamCreate", (out) => this.raw.cuStreamCreate(out, 1));
  }

  /** Makes an event. */
  event(): Address {
    return this.#made("cuEventCreate", (out) => this.raw.cuEventCreate(out, 2));
  }

  /** Enqueues a copy to the device. */
  up(to: Address, from: Uint8Array<ArrayBuffer>, stream: Address): void {
    const bytes = BigInt(from.length);
    check("cuMemcpyHtoDAsync", this.raw.cuMemcpyHtoDAsync_v2(to, from, bytes, stream));
  }

  /** Enqueues a copy to the host; the call waits for it unless `to` is pinned. */
  down(to: Uint8Array<ArrayBuffer>, from: Address, stream: Address): void {
    const bytes = BigInt(to.length);
    check("cuMemcpyDtoHAsync", this.raw.cuMemcpyDtoHAsync_v2(to, from, bytes, stream));
  }

  /** Enqueues the recording of an event. */
  record(event: Address, stream: Address): void {
    check("cuEventRecord", this.raw.cuEventRecord(event, stream));
  }

  /** Lets a stream wait for an event. */
  waitForEvent(stream: Address, event: Address): void {
    check("cuStreamWaitEvent", this.raw.cuStreamWaitEvent(stream, event, 0));
  }

  /** Launches a kernel, which computes nothing; returns the driver's code. */
  launch(stream: Address): number {
    return this.raw.cuLaunchKernel(0n, 1, 1, 1, 1, 1, 1, 0, stream, 0n, 0n);
  }

  /** Waits in this thread until all work of the context is done; returns the driver's code. */
  synchronize(): number {
    return this.raw.cuCtxSynchronize();
  }

  #made(call: string, make: (out: BigUint64Array<ArrayBuffer>) => number): Address {
    const out = new BigUint64Array(1);
    check(call, make(out));
    return out[0]!;
  }
}

function check(call: string, code: number): void {
  if (code !== 0) throw new Error(`${call} returned ${code}`);
}

/**
 * Memory of the GPU, streams and events of our own, and copies that run while TensorFlow computes: TensorFlow's own
 * copies first wait for all that it computes.
 *
 * All calls go to CUDA's runtime, which makes the device's primary context, TensorFlow's, current in any thread; the
 * driver's functions fail with error 201 on the threads of Deno's pool.
 *
 * @module
 */
import { addressOf } from "../../base/aligned_memory.ts";
import { cudaProblem } from "./cuda_problems.ts";
import { LIBC } from "./native_environment.ts";
import { EngineError } from "./status.ts";

/** An address in memory of the device or of the host, which share one space, or a handle of CUDA. */
export type CudaAddress = bigint;

const RUNTIME = "libcudart.so.12";

const B = "buffer" as const;
/** An address, or a handle. */
const A = "u64" as const;

/** Functions of CUDA's runtime (cuda_runtime_api.h), with the C names of their parameters. */
const SYMBOLS = {
  cudaGetLastError: { parameters: [], result: "i32" },
  cudaMalloc: { parameters: [B, /* devPtr */ "usize" /* size */], result: "i32" },
  cudaFree: { parameters: [A /* devPtr */], result: "i32" },
  cudaHostAlloc: {
    parameters: [B, /* pHost */ "usize", /* size */ "u32" /* flags */],
    result: "i32",
  },
  cudaFreeHost: { parameters: [A /* ptr */], result: "i32" },
  cudaHostRegister: {
    parameters: [A, /* ptr */ "usize", /* size */ "u32" /* flags */],
    result: "i32",
  },
  cudaHostUnregister: { parameters: [A /* ptr */], result: "i32" },
  cudaMemsetAsync: {
    parameters: [A, /* devPtr */ "i32", /* value */ "usize", /* count */ A /* stream */],
    result: "i32",
  },
  cudaMemcpyAsync: {
    parameters: [A, /* dst */ A, /* src */ "usize", /* count */ "i32", /* kind */ A /* stream */],
    result: "i32",
  },
  /** For pageable memory, which the call itself reads or fills. */
  cudaMemcpyAsync_nonblocking: {
    name: "cudaMemcpyAsync",
    parameters: [A, /* dst */ A, /* src */ "usize", /* count */ "i32", /* kind */ A /* stream */],
    result: "i32",
    nonblocking: true,
  },
  cudaStreamCreateWithFlags: { parameters: [B, /* pStream */ "u32" /* flags */], result: "i32" },
  cudaStreamDestroy: { parameters: [A /* stream */], result: "i32" },
  cudaStreamSynchronize: { parameters: [A /* stream */], result: "i32" },
  cudaStreamWaitEvent: {
    parameters: [A, /* stream */ A, /* event */ "u32" /* flags */],
    result: "i32",
  },
  cudaEventCreateWithFlags: { parameters: [B, /* event */ "u32" /* flags */], result: "i32" },
  cudaEventDestroy: { parameters: [A /* event */], result: "i32" },
  cudaEventRecord: { parameters: [A, /* event */ A /* stream */], result: "i32" },
  cudaEventQuery: { parameters: [A /* event */], result: "i32" },
  cudaEventSynchronize_nonblocking: {
    name: "cudaEventSynchronize",
    parameters: [A /* event */],
    result: "i32",
    nonblocking: true,
  },
  cudaDeviceSynchronize_nonblocking: {
    name: "cudaDeviceSynchronize",
    parameters: [],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

type RuntimeFunctions = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const OK = 0;
const OUT_OF_MEMORY = 2;
const NOT_READY = 600;
/** `cudaMemcpyDefault`: the addresses tell the direction. */
const BY_ADDRESS = 4;
/** `cudaStreamNonBlocking`: doesn't wait for the default stream. */
const NON_BLOCKING = 1;
/** `cudaEventBlockingSync | cudaEventDisableTiming`: whoever waits sleeps. */
const SLEEPING_EVENT = 3;
const NO_FLAGS = 0;

let runtime: RuntimeFunctions | undefined;

/** CUDA's runtime, which the engine has opened with TensorFlow's other libraries. */
function cuda(): RuntimeFunctions {
  return runtime ??= Deno.dlopen(RUNTIME, SYMBOLS).symbols;
}

/** @throws {EngineError} with the sentence for a result that isn't 0 */
function check(code: number, call: string): void {
  if (code === OK) return;
  // TensorFlow asks for this thread's last error after each launch, and would take this one for its own.
  cuda().cudaGetLastError();
  throw new EngineError("INTERNAL", call, cudaProblem(code, call));
}

function made(call: string, make: (out: BigUint64Array<ArrayBuffer>) => number): CudaAddress {
  const out = new BigUint64Array(1);
  check(make(out), call);
  return out[0]!;
}

/**
 * Allocates memory of the device; its bytes are 0.
 *
 * @throws {EngineError} of the code `RESOURCE_EXHAUSTED` when the device has too little left
 */
export function allocateCudaMemory(byteLength: number): CudaAddress {
  const out = new BigUint64Array(1);
  const code = cuda().cudaMalloc(out, BigInt(Math.max(byteLength, 1)));
  if (code === OUT_OF_MEMORY) {
    cuda().cudaGetLastError();
    throw new EngineError(
      "RESOURCE_EXHAUSTED",
      "cudaMalloc",
      `The GPU has no ${byteLength} bytes of memory left (CUDA error 2, of cudaMalloc)`,
    );
  }
  check(code, "cudaMalloc");
  const address = out[0]!;
  using stream = new CudaStream();
  try {
    stream.clear(address, byteLength);
  } catch (error) {
    cuda().cudaFree(address);
    throw error;
  }
  return address;
}

/** Frees memory of the device, once all that uses it is done. */
export function freeCudaMemory(address: CudaAddress): void {
  release(cuda().cudaFree(address));
}

/**
 * Ends a call that releases something. It fails only for work that failed before: whoever waits for that work gets the
 * error, and it must not take the place of the one that is being thrown.
 */
function release(code: number): void {
  if (code !== OK) cuda().cudaGetLastError();
}

/** Memory of the host that the device reaches by itself. */
export interface PinnedMemory extends Disposable {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly address: CudaAddress;
}

/** Allocates pinned memory of the host; nobody may use it after its disposal. */
export function allocatePinned(byteLength: number): PinnedMemory {
  const address = made(
    "cudaHostAlloc",
    (out) => cuda().cudaHostAlloc(out, BigInt(Math.max(byteLength, 1)), NO_FLAGS),
  );
  const pointer = Deno.UnsafePointer.create(address)!;
  return {
    bytes: new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength)),
    address,
    [Symbol.dispose]: once(() => release(cuda().cudaFreeHost(address))),
  };
}

/**
 * Pins memory that is there, such as a segment that processes share, until the disposal; which must come before the
 * memory is unmapped.
 */
export function pinMemory(bytes: Uint8Array<ArrayBuffer>): PinnedMemory {
  const address = addressOf(bytes);
  if (bytes.byteLength === 0) return { bytes, address, [Symbol.dispose]() {} };
  check(cuda().cudaHostRegister(address, BigInt(bytes.byteLength), NO_FLAGS), "cudaHostRegister");
  return {
    bytes,
    address,
    [Symbol.dispose]: once(() => release(cuda().cudaHostUnregister(address))),
  };
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}

const COPY = {
  memcpy: {
    parameters: [A, /* dest */ B, /* src */ "usize" /* n */],
    result: A,
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

let libc: Deno.DynamicLibrary<typeof COPY>["symbols"] | undefined;

/** Copies bytes within memory of the host on another thread. */
export async function copyOnThread(to: CudaAddress, bytes: Uint8Array): Promise<void> {
  libc ??= Deno.dlopen(LIBC, COPY).symbols;
  // Shared memory is as good as other memory: its address is all that counts.
  await libc.memcpy(to, bytes as Uint8Array<ArrayBuffer>, BigInt(bytes.byteLength));
}

/** Waits until the device has done all that every thread of this process has given it, TensorFlow's streams included. */
export async function deviceIdle(): Promise<void> {
  check(await cuda().cudaDeviceSynchronize_nonblocking(), "cudaDeviceSynchronize");
}

/** A place in a stream's work. */
export class CudaEvent implements Disposable {
  readonly #event = made(
    "cudaEventCreate",
    (out) => cuda().cudaEventCreateWithFlags(out, SLEEPING_EVENT),
  );

  /** The handle, a `cudaEvent_t`. */
  get handle(): CudaAddress {
    return this.#event;
  }

  /** Marks the place behind all that the stream has been given. */
  record({ handle }: CudaStream): void {
    check(cuda().cudaEventRecord(this.#event, handle), "cudaEventRecord");
  }

  /** Tells whether the stream has reached the place that was marked last; without a mark it has. */
  get isReached(): boolean {
    const code = cuda().cudaEventQuery(this.#event);
    if (code !== NOT_READY) check(code, "cudaEventQuery");
    else cuda().cudaGetLastError();
    return code === OK;
  }

  /** Waits until the stream has reached the place that was marked last. */
  async reached(): Promise<void> {
    check(await cuda().cudaEventSynchronize_nonblocking(this.#event), "cudaEventSynchronize");
  }

  [Symbol.dispose](): void {
    release(cuda().cudaEventDestroy(this.#event));
  }
}

/** A queue of copies, which waits for no other stream. */
export class CudaStream implements Disposable {
  /** The handle, a `cudaStream_t`. */
  readonly handle = made(
    "cudaStreamCreate",
    (out) => cuda().cudaStreamCreateWithFlags(out, NON_BLOCKING),
  );
  #end: CudaEvent | undefined;

  /**
   * Enqueues a copy between memory of the device and pinned memory, or within the device. Neither end may be freed or
   * written to before it is done.
   */
  copy(to: CudaAddress, from: CudaAddress, byteLength: number): void {
    if (byteLength === 0) return;
    check(
      cuda().cudaMemcpyAsync(to, from, BigInt(byteLength), BY_ADDRESS, this.handle),
      "cudaMemcpyAsync",
    );
  }

  /** Copies between the device and any memory of the host, and waits for it, without stopping this thread. */
  async copyPageable(to: CudaAddress, from: CudaAddress, byteLength: number): Promise<void> {
    if (byteLength === 0) return;
    check(
      await cuda().cudaMemcpyAsync_nonblocking(
        to,
        from,
        BigInt(byteLength),
        BY_ADDRESS,
        this.handle,
      ),
      "cudaMemcpyAsync",
    );
    await this.done();
  }

  /** Lets what is enqueued from now on wait for a place in another stream's work. */
  waitFor(event: CudaEvent): void {
    check(cuda().cudaStreamWaitEvent(this.handle, event.handle, NO_FLAGS), "cudaStreamWaitEvent");
  }

  /** Waits until all that was enqueued is done. */
  async done(): Promise<void> {
    this.#end ??= new CudaEvent();
    this.#end.record(this);
    await this.#end.reached();
  }

  /** Sets memory of the device to 0, and waits for it in this thread. */
  clear(address: CudaAddress, byteLength: number): void {
    if (byteLength === 0) return;
    check(cuda().cudaMemsetAsync(address, 0, BigInt(byteLength), this.handle), "cudaMemsetAsync");
    check(cuda().cudaStreamSynchronize(this.handle), "cudaStreamSynchronize");
  }

  [Symbol.dispose](): void {
    this.#end?.[Symbol.dispose]();
    release(cuda().cudaStreamDestroy(this.handle));
  }
}

/**
 * Measures copies between host and card, from pageable and from page-locked memory, by the CUDA runtime.
 *
 * @module
 */
import { CUDA_LIBRARIES } from "../../../src/base/cuda_libraries.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { cudaLibraryPath } from "./libraries.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "copies",
  title: "that copies keep their bytes, and how fast they are",
  limitSeconds: 40,
  cards: "first",
  needsGpu: true,
  run,
};

/** Copies of each kind, the first one not timed. */
const COPIES = 9;
const GIGABYTE = 1e9;
/** `cudaMemcpyKind`. */
const [TO_DEVICE, TO_HOST] = [1, 2];

const P = "pointer" as const;
const B = "buffer" as const;

const SYMBOLS = {
  cudaGetErrorString: { parameters: ["i32" /* error */], result: P },
  cudaMalloc: { parameters: [B, /* devPtr */ "usize" /* size */], result: "i32" },
  cudaFree: { parameters: [P /* devPtr */], result: "i32" },
  cudaMallocHost: { parameters: [B, /* ptr */ "usize" /* size */], result: "i32" },
  cudaFreeHost: { parameters: [P /* ptr */], result: "i32" },
  cudaMemcpy: { parameters: [P, /* dst */ P, /* src */ "usize", "i32" /* kind */], result: "i32" },
  cudaDeviceSynchronize: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Cudart = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

async function run({ libraryPath, size }: CheckContext): Promise<Outcome> {
  const bytes = (size === "full" ? 64 : 4) * 2 ** 20;
  const { folder, name } = CUDA_LIBRARIES.find(({ folder }) => folder === "cuda_runtime")!;
  const { symbols: cuda } = Deno.dlopen(await cudaLibraryPath(libraryPath, folder, name), SYMBOLS);
  const pageable = new Uint8Array(bytes);
  const device = allocate(cuda, "cudaMalloc", bytes);
  const pinned = allocate(cuda, "cudaMallocHost", bytes);
  const pinnedBytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pinned!, bytes));
  const measure = (memory: Uint8Array<ArrayBuffer>, pointer: Deno.PointerValue, seed: number) => {
    fill(memory, seed);
    const up = time(cuda, device, pointer, bytes, TO_DEVICE);
    memory.fill(0);
    const down = time(cuda, pointer, device, bytes, TO_HOST);
    return { up, down, wrong: wrongBytes(memory, seed) };
  };
  const results = {
    pageable: measure(pageable, Deno.UnsafePointer.of(pageable), 1),
    pinned: measure(pinnedBytes, pinned, 2),
  };
  check(cuda, "cudaFree", cuda.cudaFree(device));
  check(cuda, "cudaFreeHost", cuda.cudaFreeHost(pinned));
  const wrong = results.pageable.wrong + results.pinned.wrong;
  const figure = Object.entries(results).map(([kind, { up, down }]) =>
    `${kind} ${up.toFixed(1)} up, ${down.toFixed(1)} down`
  );
  return {
    status: wrong === 0 ? "pass" : "fail",
    figure: wrong === 0
      ? `${figure.join("; ")} GB/s`
      : `${wrong} of ${2 * bytes} bytes came back wrong`,
    details: { bytes, gigabytesPerSecond: results },
  };
}

function allocate(
  cuda: Cudart,
  name: "cudaMalloc" | "cudaMallocHost",
  bytes: number,
): Deno.PointerValue {
  const address = new BigUint64Array(1);
  check(cuda, name, cuda[name](address, BigInt(bytes)));
  return Deno.UnsafePointer.create(address[0]!);
}

/** Returns the median speed in GB/s. */
function time(
  cuda: Cudart,
  to: Deno.PointerValue,
  from: Deno.PointerValue,
  bytes: number,
  kind: number,
): number {
  const times: number[] = [];
  for (let copy = 0; copy < COPIES; copy++) {
    const start = performance.now();
    check(cuda, "cudaMemcpy", cuda.cudaMemcpy(to, from, BigInt(bytes), kind));
    check(cuda, "cudaDeviceSynchronize", cuda.cudaDeviceSynchronize());
    if (copy > 0) times.push((performance.now() - start) / 1000);
  }
  times.sort((a, b) => a - b);
  return bytes / GIGABYTE / times[times.length >> 1]!;
}

/** Fills memory with bytes that differ by place and seed. */
function fill(memory: Uint8Array, seed: number): void {
  for (let at = 0; at < memory.length; at++) memory[at] = byteAt(at, seed);
}

function wrongBytes(memory: Uint8Array, seed: number): number {
  let wrong = 0;
  for (let at = 0; at < memory.length; at++) if (memory[at] !== byteAt(at, seed)) wrong++;
  return wrong;
}

function byteAt(at: number, seed: number): number {
  return (Math.imul(at + seed, 2654435761) >>> 24) & 255;
}

function check(cuda: Cudart, name: string, error: number): void {
  if (error === 0) return;
  const text = cuda.cudaGetErrorString(error);
  const reason = text === null ? "" : `: ${new Deno.UnsafePointerView(text).getCString()}`;
  throw new Error(`${name} gives error ${error}${reason}`);
}

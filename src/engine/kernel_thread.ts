/**
 * A thread that computes parts of vectors in memory of its process. Started by `KernelThreads`.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { PieceQueue } from "./piece_queue.ts";
import { type KernelCode, WasmKernel } from "./wasm_kernel.ts";

/** Memory of the process. */
export interface MemoryPlace {
  readonly address: bigint;
  readonly byteLength: number;
}

/** A part of a computation. */
export interface KernelPart {
  readonly outputs: readonly MemoryPlace[];
  readonly inputs: readonly MemoryPlace[];
  readonly numbers: readonly number[];
}

/** Parts that several threads take from one queue. */
export interface KernelWork {
  /** Memory of a `PieceQueue` of the parts. */
  readonly queue: SharedArrayBuffer;
  readonly pieces: readonly KernelPart[];
}

/** The first message is the code, those that follow are work; each is answered when no part is left to take. */
export type KernelMail = KernelCode | KernelWork;

let kernel: WasmKernel | undefined;

parentPort!.on("message", (mail: KernelMail) => {
  if ("module" in mail) {
    kernel = new WasmKernel(mail);
    return;
  }
  new PieceQueue(mail.queue).work((at) => {
    const { outputs, inputs, numbers } = mail.pieces[at];
    kernel!.run(outputs.map(memoryAt), inputs.map(memoryAt), numbers);
  });
  parentPort!.postMessage(null);
});

function memoryAt({ address, byteLength }: MemoryPlace): Uint8Array {
  const pointer = Deno.UnsafePointer.create(address)!;
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength));
}

/**
 * A thread that computes parts of vectors in memory of its process. Started by `KernelThreads`.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
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

/** The first message is the code, those that follow are parts; each part is answered when it is done. */
export type KernelMail = KernelCode | readonly KernelPart[];

let kernel: WasmKernel | undefined;

parentPort!.on("message", (mail: KernelMail) => {
  if ("module" in mail) {
    kernel = new WasmKernel(mail);
    return;
  }
  for (const { outputs, inputs, numbers } of mail) {
    kernel!.run(outputs.map(memoryAt), inputs.map(memoryAt), numbers);
  }
  parentPort!.postMessage(null);
});

function memoryAt({ address, byteLength }: MemoryPlace): Uint8Array {
  const pointer = Deno.UnsafePointer.create(address)!;
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, byteLength));
}

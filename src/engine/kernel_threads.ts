/**
 * Elementwise computations on the CPU by several threads: one thread alone doesn't use the memory's bandwidth up.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { addressOf } from "../base/aligned_memory.ts";
import { LINE_FLOATS } from "../base/float_range.ts";
import type { KernelMail, KernelPart } from "./kernel_thread.ts";
import { type KernelCode, WasmKernel } from "./wasm_kernel.ts";

/** The computation of one range: memories of one length. */
export interface KernelJob {
  readonly outputs: readonly Uint8Array<ArrayBuffer>[];
  readonly inputs: readonly Uint8Array<ArrayBuffer>[];
  readonly numbers: readonly number[];
}

/** Bytes of a thread's part that are worth a message to it. */
const MIN_PART_BYTES = 4 * 2 ** 20;

/** Threads beyond which the memory is no faster. */
const MAX_THREADS = 4;

let threadsOfProcess = 1;

/** Sets the threads that a computation may take in this process, the calling one included. */
export function setKernelThreads(count: number): void {
  threadsOfProcess = Math.max(1, Math.min(count, MAX_THREADS));
}

/** A computation, and the threads that run it beside the calling one; these start when they are first needed. */
export class KernelThreads implements Disposable {
  readonly #code: KernelCode;
  readonly #own: WasmKernel;
  readonly #threads: Worker[] = [];

  constructor(code: KernelCode) {
    this.#code = code;
    this.#own = new WasmKernel(code);
  }

  /** Runs the computation; the memories must stay as they are until the promise resolves. */
  async run(jobs: readonly KernelJob[]): Promise<void> {
    const bytes = jobs.reduce((sum, { outputs: [{ byteLength }] }) => sum + byteLength, 0);
    const parts = Math.max(1, Math.min(threadsOfProcess, Math.floor(bytes / MIN_PART_BYTES)));
    const others = Array.from(
      { length: parts - 1 },
      (_, index) =>
        this.#runIn(this.#thread(index), jobs.map((job) => partOf(job, index + 1, parts))),
    );
    for (const job of jobs) {
      const { outputs, inputs, numbers } = partOf(job, 0, parts);
      this.#own.run(outputs, inputs, numbers);
    }
    await Promise.all(others);
  }

  #runIn(thread: Worker, jobs: readonly KernelJob[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    thread.ref();
    thread.once("message", () => resolve());
    thread.once("error", reject);
    const placeOf = (memory: Uint8Array<ArrayBuffer>) => ({
      address: addressOf(memory),
      byteLength: memory.byteLength,
    });
    send(
      thread,
      jobs.map(({ outputs, inputs, numbers }): KernelPart => ({
        outputs: outputs.map(placeOf),
        inputs: inputs.map(placeOf),
        numbers,
      })),
    );
    return promise.finally(() => {
      thread.removeAllListeners();
      thread.unref();
    });
  }

  #thread(index: number): Worker {
    const known = this.#threads[index];
    if (known) return known;
    const thread = new Worker(new URL(import.meta.resolve("./kernel_thread.ts")));
    thread.unref(); // an idle thread keeps no process from ending
    send(thread, this.#code);
    return this.#threads[index] = thread;
  }

  /** Ends the threads. */
  [Symbol.dispose](): void {
    for (const thread of this.#threads.splice(0)) void thread.terminate();
  }
}

function send(thread: Worker, mail: KernelMail): void {
  thread.postMessage(mail);
}

/** One of several parts of like length, which begin at cache lines. */
function partOf({ outputs, inputs, numbers }: KernelJob, index: number, parts: number): KernelJob {
  const floats = outputs[0].byteLength / Float32Array.BYTES_PER_ELEMENT;
  const lines = Math.ceil(floats / LINE_FLOATS);
  const at = (part: number) => Math.floor(part * lines / parts) * LINE_FLOATS * 4;
  const cut = (memory: Uint8Array<ArrayBuffer>) => memory.subarray(at(index), at(index + 1));
  return { outputs: outputs.map(cut), inputs: inputs.map(cut), numbers };
}

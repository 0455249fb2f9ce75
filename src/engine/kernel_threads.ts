/**
 * Elementwise computations on the CPU by several threads: one thread alone doesn't use the memory's bandwidth up.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { addressOf } from "../base/aligned_memory.ts";
import type { KernelMail, KernelPart, KernelWork } from "./kernel_thread.ts";
import { PieceQueue } from "./piece_queue.ts";
import { type KernelCode, WasmKernel } from "./wasm_kernel.ts";

/** The computation of one range: memories of one length. */
export interface KernelJob {
  readonly outputs: readonly Uint8Array<ArrayBuffer>[];
  readonly inputs: readonly Uint8Array<ArrayBuffer>[];
  readonly numbers: readonly number[];
}

/** Bytes of a vector from which on a thread more is worth a message to it. */
const MIN_BYTES_PER_THREAD = 4 * 2 ** 20;

/** Floats of a piece: a thread that comes late finds the others' pieces done, and nobody waits for it. */
const PIECE_FLOATS = 2 ** 17;

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
  /** Settles when a thread has found no further piece, or has failed. */
  #answer = Promise.withResolvers<void>();

  constructor(code: KernelCode) {
    this.#code = code;
    this.#own = new WasmKernel(code);
  }

  /** Runs the computation; the memories must stay as they are until the promise resolves. */
  async run(jobs: readonly KernelJob[]): Promise<void> {
    const bytes = jobs.reduce((sum, { outputs: [{ byteLength }] }) => sum + byteLength, 0);
    const count = Math.min(threadsOfProcess, Math.floor(bytes / MIN_BYTES_PER_THREAD));
    if (count <= 1) {
      for (const { outputs, inputs, numbers } of jobs) this.#own.run(outputs, inputs, numbers);
      return;
    }
    const pieces = jobs.flatMap(piecesOf);
    const queue = new PieceQueue(pieces.length);
    const threads = Array.from({ length: count - 1 }, (_, index) => this.#thread(index));
    const mail: KernelWork = { queue: queue.memory, pieces: pieces.map(placesOf) };
    for (const thread of threads) {
      thread.ref();
      send(thread, mail);
    }
    try {
      queue.work((at) => {
        const { outputs, inputs, numbers } = pieces[at];
        this.#own.run(outputs, inputs, numbers);
      });
      while (!queue.isDone) await this.#answer.promise;
    } finally {
      for (const thread of threads) thread.unref();
    }
  }

  #thread(index: number): Worker {
    const known = this.#threads[index];
    if (known) return known;
    const thread = new Worker(new URL(import.meta.resolve("./kernel_thread.ts")));
    thread.unref(); // an idle thread keeps no process from ending
    thread.on("message", () => this.#next().resolve());
    thread.on("error", (error) => this.#next().reject(error));
    send(thread, this.#code);
    return this.#threads[index] = thread;
  }

  /** The present answer; the next one has a promise of its own. */
  #next(): PromiseWithResolvers<void> {
    const answer = this.#answer;
    this.#answer = Promise.withResolvers();
    answer.promise.catch(() => {}); // nobody may be waiting
    return answer;
  }

  /** Ends the threads. */
  [Symbol.dispose](): void {
    for (const thread of this.#threads.splice(0)) void thread.terminate();
  }
}

function send(thread: Worker, mail: KernelMail): void {
  thread.postMessage(mail);
}

function placesOf({ outputs, inputs, numbers }: KernelJob): KernelPart {
  const placeOf = (memory: Uint8Array<ArrayBuffer>) => ({
    address: addressOf(memory),
    byteLength: memory.byteLength,
  });
  return { outputs: outputs.map(placeOf), inputs: inputs.map(placeOf), numbers };
}

function piecesOf({ outputs, inputs, numbers }: KernelJob): KernelJob[] {
  const pieceBytes = PIECE_FLOATS * Float32Array.BYTES_PER_ELEMENT;
  return Array.from({ length: Math.ceil(outputs[0].byteLength / pieceBytes) }, (_, piece) => {
    const cut = (memory: Uint8Array<ArrayBuffer>) =>
      memory.subarray(piece * pieceBytes, (piece + 1) * pieceBytes);
    return { outputs: outputs.map(cut), inputs: inputs.map(cut), numbers };
  });
}

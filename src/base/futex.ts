/**
 * Waits for words of shared memory to change, and wakes the processes that wait (futex(2) of Linux).
 *
 * @module
 */
import { LockstepError } from "./errors.ts";

/** Numbers of the system call. */
const SYSTEM_CALL: Readonly<Record<string, bigint>> = { x86_64: 202n, aarch64: 98n };
/** FUTEX_WAIT and FUTEX_WAKE, for waiters of any process. */
const WAIT = 0, WAKE = 1;
const ALL_WAITERS = 2 ** 31 - 1;

/** Nanoseconds after which a wait ends by itself, so that its caller can look at its clock. */
const SLICE_NS = 250_000_000n;
/** The same for a wait that blocks the event loop. */
const BLOCKING_NS = 1_000_000n;

const openLibc = () =>
  Deno.dlopen("libc.so.6", {
    wait: {
      name: "syscall",
      parameters: ["i64", "pointer", "i32", "i32", /* expected value */ "buffer" /* timespec */],
      result: "i64",
      nonblocking: true,
    },
    waitBlocking: {
      name: "syscall",
      parameters: ["i64", "pointer", "i32", "i32", /* expected value */ "buffer" /* timespec */],
      result: "i64",
    },
    wake: {
      name: "syscall",
      parameters: ["i64", "pointer", "i32", "i32" /* most waiters */],
      result: "i64",
    },
  });

let opened: ReturnType<typeof openLibc>["symbols"] | undefined;

/** 32-bit words of a shared mapping, on which processes wait for each other. */
export class FutexWords {
  /** The words. */
  readonly words: Int32Array<ArrayBuffer>;
  readonly #libc: ReturnType<typeof openLibc>["symbols"];
  readonly #call: bigint;
  readonly #address: bigint;
  readonly #slice = new BigInt64Array([0n, SLICE_NS]);
  readonly #blockingSlice = new BigInt64Array([0n, BLOCKING_NS]);

  /**
   * @param memory A part of a shared mapping, at a multiple of 4 bytes
   * @throws {LockstepError} when this system has no futex
   */
  constructor(memory: Uint8Array<ArrayBuffer>) {
    const call = SYSTEM_CALL[Deno.build.arch];
    if (Deno.build.os !== "linux" || call === undefined) throw noFutex();
    this.#call = call;
    this.#libc = opened ??= openLibc().symbols;
    this.words = new Int32Array(memory.buffer, memory.byteOffset, Math.floor(memory.length / 4));
    this.#address = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)));
    if (this.wake(0) < 0) throw noFutex();
  }

  /**
   * Waits until a word is woken, at most a quarter of a second. Returns at once when the word has another value than
   * `seen`. It may also return for no reason: the caller looks again at what it waits for.
   */
  async wait(word: number, seen: number): Promise<void> {
    await this.#libc.wait(this.#call, this.#pointer(word), WAIT, seen, this.#slice);
  }

  /** As {@linkcode wait}, but at most a millisecond, in which this thread does nothing else: it is woken sooner. */
  waitBlocking(word: number, seen: number): void {
    this.#libc.waitBlocking(this.#call, this.#pointer(word), WAIT, seen, this.#blockingSlice);
  }

  /** Wakes all who wait for a word; returns their number. */
  wake(word: number): number {
    return Number(this.#libc.wake(this.#call, this.#pointer(word), WAKE, ALL_WAITERS));
  }

  #pointer(word: number): Deno.PointerObject {
    return Deno.UnsafePointer.create(this.#address + BigInt(word * Int32Array.BYTES_PER_ELEMENT))!;
  }
}

function noFutex(): LockstepError {
  return new LockstepError(
    `Processes can't wait for each other in shared memory on ${Deno.build.os} (${Deno.build.arch}): set exchange to nats`,
  );
}

/**
 * The channel between the main thread and its loader threads: the list of open steps in shared memory, and messages
 * for what is rare.
 *
 * @module
 */
import type { EngineAddress } from "../../engine/native_runtime.ts";
import type { SourceRecipe } from "../datasets/image_set.ts";
import type { TransformSpec } from "../transforms/table.ts";
import type { DiskImagesRecipe } from "./disk_images.ts";
import type { CacheAddress } from "./shared_images.ts";

/** From which another thread makes a `RowMaker`. */
export interface MakerRecipe {
  readonly source: SourceRecipe;
  readonly transforms: readonly TransformSpec[];
  /** Missing where nothing is kept. */
  readonly cache: CacheAddress | undefined;
  /** Missing where nothing is kept on the disk. */
  readonly disk?: DiskImagesRecipe | undefined;
}

/** A message to every loader thread. */
export type ThreadMail =
  | { readonly kind: "engine"; readonly address: EngineAddress }
  | { readonly kind: "maker"; readonly id: number; readonly recipe: MakerRecipe }
  | { readonly kind: "slot"; readonly id: number; readonly buffer: SharedArrayBuffer }
  | { readonly kind: "noSlot"; readonly id: number };

/** An error that crosses from one thread to another. */
export interface ThreadError {
  readonly kind: "image" | "lockstep" | "memory" | "other";
  readonly message: string;
  /** Of an image that can't be used. */
  readonly path?: string;
  readonly reason?: string;
  readonly stack?: string | undefined;
}

/** The first message to a thread. */
export interface ThreadStart {
  readonly control: SharedArrayBuffer;
  readonly threads: number;
  /** Number of this thread, from 0. */
  readonly thread: number;
}

/** A message from a loader thread. */
export type ThreadReport =
  | { readonly kind: "ready" }
  | { readonly kind: "ended" }
  /** A row of the step with this ticket failed. */
  | {
    readonly kind: "failed";
    readonly ticket: number;
    readonly row: number;
    readonly error: ThreadError;
  }
  | { readonly kind: "broken"; readonly error: ThreadError };

/** Words of the control memory. */
const WORDS = { pulse: 0, mail: 1, stop: 2, first: 3, end: 4, ring: 8 } as const;
/** Steps that may be open at a time. */
const RING = 4096;
/** The first of the words, one for each thread, that hold the sample in the making plus 1. */
const MAKING = WORDS.ring + RING;

/** A thread's view of the control memory. */
export class ThreadControl {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  /**
   * @param threads Number of threads
   * @param buffer Memory that another thread's view has made
   */
  constructor(threads: number, buffer = new SharedArrayBuffer((MAKING + threads) * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Says which sample a user's code is making in a thread; nothing when none. */
  setMaking(thread: number, index: number | undefined): void {
    Atomics.store(this.#words, MAKING + thread, (index ?? -1) + 1);
  }

  /** Samples that users' code is making, by thread; -1 where it makes none. */
  get making(): number[] {
    return Array.from(this.#words.subarray(MAKING), (index) => index - 1);
  }

  /** Messages that were sent to each thread. */
  get mail(): number {
    return Atomics.load(this.#words, WORDS.mail);
  }

  /** Counts a message, which threads then look for. */
  countMail(): void {
    Atomics.add(this.#words, WORDS.mail, 1);
    this.#wake();
  }

  /** Tells whether the threads are to end. */
  get stops(): boolean {
    return Atomics.load(this.#words, WORDS.stop) === 1;
  }

  /** Has the threads end, after the rows in hand. */
  stop(): void {
    Atomics.store(this.#words, WORDS.stop, 1);
    this.#wake();
  }

  /**
   * Adds a slot to the list of open steps.
   *
   * @throws {RangeError} when too many are open
   */
  offer(slot: number): void {
    const words = this.#words;
    const end = Atomics.load(words, WORDS.end);
    if (end - Atomics.load(words, WORDS.first) >= RING) {
      throw new RangeError(`More than ${RING} steps are open at a time`);
    }
    Atomics.store(words, WORDS.ring + end % RING, slot);
    Atomics.store(words, WORDS.end, end + 1);
    this.#wake();
  }

  /** The oldest open step: its position in the list and its slot. */
  get first(): { position: number; slot: number } | undefined {
    const words = this.#words;
    const position = Atomics.load(words, WORDS.first);
    if (position === Atomics.load(words, WORDS.end)) return undefined;
    return { position, slot: Atomics.load(words, WORDS.ring + position % RING) };
  }

  /** Takes a step off the list: all of its rows are taken. */
  pass(position: number): void {
    Atomics.compareExchange(this.#words, WORDS.first, position, position + 1);
  }

  /** A number that changes whenever there is something new. */
  get pulse(): number {
    return Atomics.load(this.#words, WORDS.pulse);
  }

  /** Puts the thread to sleep until there is something new since `pulse`. */
  sleep(pulse: number): void {
    Atomics.wait(this.#words, WORDS.pulse, pulse);
  }

  /** Waits until there is something new since `pulse`, while the thread's timers and messages have their turn. */
  async idle(pulse: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#words, WORDS.pulse, pulse);
    if (wait.async) await wait.value;
  }

  #wake(): void {
    Atomics.add(this.#words, WORDS.pulse, 1);
    Atomics.notify(this.#words, WORDS.pulse);
  }
}

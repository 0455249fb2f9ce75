/**
 * Memory in which the main thread hands a step out to loader threads, and gets its rows back.
 *
 * The main thread writes what the step is, each row's sample, and then the number of rows left. A thread takes a row
 * by taking one of that number: whoever gets 1 or more makes that row. So a number that was read from memory that has
 * become another step's meanwhile still is a row of that step, and no row is made twice. Whoever makes the last row
 * finishes the step.
 *
 * @module
 */
import { addressOf, ALIGNMENT_BYTES } from "../../base/aligned_memory.ts";
import type { Sample } from "../datasets/image_set.ts";
import type { Mix } from "../transforms/mix.ts";

/** Words of 32 bits at the begin of a slot. */
const WORDS = {
  /** Rows that nobody has taken yet; below 1 there are none. */
  left: 0,
  /** Rows that are not made yet. */
  unmade: 1,
  /** 1 when the step is finished, 2 when it never will be. */
  done: 2,
  /** 1 when nobody wants the step any more. */
  cancelled: 3,
  maker: 4,
  wanted: 5,
  planned: 6,
  epoch: 7,
  ticket: 13,
  /** 0: not mixed, 1: mixed, 2: mixed within a box, whose numbers follow. */
  mix: 8,
  box: 9,
} as const;
/** Numbers of 64 bits behind them. */
const NUMBERS = { seed: 0, share: 1, rowsAt: 2, rowsEnd: 3 } as const;
const WORDS_BYTES = 64;
const HEAD_BYTES = 128;
/** Words of a row behind the rows: the sample's index and label, the outcome, the end of its path. */
const ROW_WORDS = 4;

/** States of a row. */
export const ROW_STATES = { unmade: 0, image: 1, unread: 2, failed: 3 } as const;

/** One of {@linkcode ROW_STATES}. */
export type RowState = (typeof ROW_STATES)[keyof typeof ROW_STATES];

/** The step that a slot holds. */
export interface SlotStep {
  /** Number of the step among all that were handed out. */
  readonly ticket: number;
  /** Number of the row maker. */
  readonly maker: number;
  readonly epoch: number;
  readonly seed: number;
  /** Rows of the step; one more is made where the last one is only a partner in mixing. */
  readonly planned: number;
  readonly mix: Mix | undefined;
}

/** A row to make. */
export interface SlotRow {
  readonly sample: Sample;
  /** The sample needn't be read. */
  readonly known: boolean;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Paths of a step on their way into shared memory. */
let text = new Uint8Array(2 ** 16);

/** The size of a slot that holds `rowsBytes` of rows, and what tells about each of `wanted` rows. */
export function slotBytes(rowsBytes: number, wanted: number, textBytes: number): number {
  return HEAD_BYTES + ALIGNMENT_BYTES + rowsBytes + 4 + wanted * ROW_WORDS * 4 + textBytes;
}

/** The most bytes that paths take. */
export function textBytes(rows: readonly SlotRow[]): number {
  let units = 0;
  for (const { sample } of rows) units += sample.path.length;
  return units * 3; // of a UTF-16 unit in UTF-8
}

/** A thread's view of a slot. */
export class ThreadSlot {
  readonly buffer: SharedArrayBuffer;
  /** Number by which all threads know it. */
  readonly id: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #numbers: Float64Array<SharedArrayBuffer>;

  constructor(id: number, buffer: SharedArrayBuffer) {
    this.id = id;
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS_BYTES / 4);
    this.#numbers = new Float64Array(buffer, WORDS_BYTES, (HEAD_BYTES - WORDS_BYTES) / 8);
  }

  /** Writes a step; from the end of this call on, threads may take its rows. */
  open(step: SlotStep, rowsBytes: number, rows: readonly SlotRow[]): void {
    const words = this.#words, numbers = this.#numbers;
    const head = new Uint8Array(this.buffer, 0, HEAD_BYTES);
    const start = Number(addressOf(head as unknown as Uint8Array<ArrayBuffer>));
    const rowsAt = Math.ceil((start + HEAD_BYTES) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES - start;
    numbers[NUMBERS.seed] = step.seed;
    numbers[NUMBERS.rowsAt] = rowsAt;
    numbers[NUMBERS.rowsEnd] = rowsAt + rowsBytes;
    words[WORDS.ticket] = step.ticket;
    words[WORDS.maker] = step.maker;
    words[WORDS.epoch] = step.epoch;
    words[WORDS.wanted] = rows.length;
    words[WORDS.planned] = step.planned;
    this.#writeMix(step.mix);
    this.#writeRows(rows);
    Atomics.store(words, WORDS.done, 0);
    Atomics.store(words, WORDS.cancelled, 0);
    Atomics.store(words, WORDS.unmade, rows.length);
    Atomics.store(words, WORDS.left, rows.length);
  }

  /** The step that was written. */
  get step(): SlotStep {
    const words = this.#words, numbers = this.#numbers;
    const box = words[WORDS.mix] === 2
      ? {
        left: words[WORDS.box]!,
        top: words[WORDS.box + 1]!,
        width: words[WORDS.box + 2]!,
        height: words[WORDS.box + 3]!,
      }
      : undefined;
    const share = numbers[NUMBERS.share]!;
    return {
      ticket: words[WORDS.ticket]!,
      maker: words[WORDS.maker]!,
      epoch: words[WORDS.epoch]!,
      seed: numbers[NUMBERS.seed]!,
      planned: words[WORDS.planned]!,
      mix: words[WORDS.mix] === 0 ? undefined : { share, ...(box ? { box } : {}) },
    };
  }

  /** Number of the step among all that were handed out. */
  get ticket(): number {
    return this.#words[WORDS.ticket]!;
  }

  /** Number of the row maker. */
  get maker(): number {
    return this.#words[WORDS.maker]!;
  }

  /** The rows' bytes, at a multiple of 64 in memory. */
  get rows(): Uint8Array<SharedArrayBuffer> {
    const from = this.#numbers[NUMBERS.rowsAt]!;
    return new Uint8Array(this.buffer, from, this.#numbers[NUMBERS.rowsEnd]! - from);
  }

  /** Takes a row that nobody has taken, if there is one. */
  take(): number | undefined {
    const left = Atomics.sub(this.#words, WORDS.left, 1);
    return left > 0 ? left - 1 : undefined;
  }

  /** The sample of a row, and the state it has before it is made. */
  row(row: number): { sample: Sample; state: RowState } {
    const table = this.#table, at = row * ROW_WORDS;
    const from = row === 0 ? 0 : table[at - 1]!;
    const bytes = new Uint8Array(this.buffer, this.#textAt + from, table[at + 3]! - from);
    return {
      sample: {
        index: table[at]! >>> 0,
        label: table[at + 1]!,
        path: decoder.decode(bytes.slice()),
      },
      state: table[at + 2] as RowState,
    };
  }

  /**
   * Says what became of a row.
   *
   * @returns Whether it was the last one: then the caller finishes the step
   */
  made(row: number, state: RowState): boolean {
    Atomics.store(this.#table, row * ROW_WORDS + 2, state);
    return Atomics.sub(this.#words, WORDS.unmade, 1) === 1;
  }

  /** States of all rows. */
  states(): RowState[] {
    const table = this.#table;
    const count = this.#words[WORDS.wanted]!;
    return Array.from({ length: count }, (_, row) => table[row * ROW_WORDS + 2] as RowState);
  }

  /** Wakes whoever waits for {@linkcode finished}. */
  finish(): void {
    Atomics.compareExchange(this.#words, WORDS.done, 0, 1);
    Atomics.notify(this.#words, WORDS.done);
  }

  /** Wakes whoever waits for {@linkcode finished}: nobody is left who would finish the step. */
  abandon(): void {
    Atomics.compareExchange(this.#words, WORDS.done, 0, 2);
    Atomics.notify(this.#words, WORDS.done);
  }

  /** Waits until the step is finished; `false` when it never will be. */
  async finished(): Promise<boolean> {
    const wait = Atomics.waitAsync(this.#words, WORDS.done, 0);
    if (wait.async) await wait.value;
    return Atomics.load(this.#words, WORDS.done) === 1;
  }

  /** Makes threads pass over the rows that are not begun. */
  cancel(): void {
    Atomics.store(this.#words, WORDS.cancelled, 1);
  }

  /** Tells whether the step is wanted no more. */
  get isCancelled(): boolean {
    return Atomics.load(this.#words, WORDS.cancelled) === 1;
  }

  get #table(): Int32Array<SharedArrayBuffer> {
    return new Int32Array(this.buffer, this.#tableAt, this.#words[WORDS.wanted]! * ROW_WORDS);
  }

  get #tableAt(): number {
    return Math.ceil(this.#numbers[NUMBERS.rowsEnd]! / 4) * 4;
  }

  get #textAt(): number {
    return this.#tableAt + this.#words[WORDS.wanted]! * ROW_WORDS * 4;
  }

  #writeMix(mix: Mix | undefined): void {
    const words = this.#words;
    words[WORDS.mix] = !mix ? 0 : mix.box ? 2 : 1;
    this.#numbers[NUMBERS.share] = mix?.share ?? 0;
    if (!mix?.box) return;
    const { left, top, width, height } = mix.box;
    words.set([left, top, width, height], WORDS.box);
  }

  #writeRows(rows: readonly SlotRow[]): void {
    const table = this.#table;
    const most = textBytes(rows);
    if (text.length < most) text = new Uint8Array(most);
    let end = 0;
    for (let row = 0, at = 0; row < rows.length; row++, at += ROW_WORDS) {
      const { sample: { index, label, path }, known } = rows[row]!;
      if (!known) end += encoder.encodeInto(path, text.subarray(end)).written;
      table[at] = index;
      table[at + 1] = label;
      table[at + 2] = known ? ROW_STATES.unread : ROW_STATES.unmade;
      table[at + 3] = end;
    }
    new Uint8Array(this.buffer, this.#textAt, end).set(text.subarray(0, end));
  }
}

/**
 * Short texts by which the ranks of a host agree before their first step, in their shared memory.
 *
 * In a round each rank posts one text, and reads those of all. Each rank has two places, used in turn: a rank that is
 * fast posts its next text while another one still reads.
 *
 * @module
 */
import { delay } from "../base/async.ts";

const PLACES = 2;
const PLACE_BYTES = 2048;
/** In front of a place's text: its length in bytes. */
const LENGTH_BYTES = 4;
const POLL_MS = 2;

/** Bytes of a board. */
export function boardBytes(worldSize: number): number {
  return worldSize * (Int32Array.BYTES_PER_ELEMENT + PLACES * PLACE_BYTES);
}

/** Limits of a round. */
export interface RoundLimits {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which a round fails. */
  readonly timeoutMs: number;
  /** Makes the failure from the ranks that have posted nothing. */
  readonly silence: (missing: readonly number[]) => Error;
}

/** Short texts of all ranks, round by round. */
export interface Notices {
  /** Posts this rank's text for the next round, of 2,044 bytes in UTF-8 at most: what is longer is cut off. */
  post(text: string): void;
  /**
   * Waits for the texts of all ranks in the round that this rank has posted to.
   *
   * @returns The texts, in the order of the ranks
   * @throws The error of the limits, or their signal's reason
   */
  read(limits: RoundLimits): Promise<string[]>;
  /** The texts of other ranks that have posted to the next round already, as far as this rank sees them. */
  early(): string[];
}

/** The board as one rank sees it. */
export class NoticeBoard implements Notices {
  readonly #rank: number;
  /** By rank: number of texts that it has posted. */
  readonly #posted: Int32Array<ArrayBuffer>;
  readonly #memory: Uint8Array<ArrayBuffer>;

  /** @param memory As long as {@linkcode boardBytes}, at a multiple of 4 bytes; zeros before the first round */
  constructor(memory: Uint8Array<ArrayBuffer>, rank: number, worldSize: number) {
    this.#rank = rank;
    this.#memory = memory;
    this.#posted = new Int32Array(memory.buffer, memory.byteOffset, worldSize);
  }

  post(text: string): void {
    const round = this.#round();
    const place = this.#place(this.#rank, round + 1);
    const { written } = new TextEncoder().encodeInto(text, place.subarray(LENGTH_BYTES));
    new DataView(place.buffer, place.byteOffset).setInt32(0, written, true);
    Atomics.store(this.#posted, this.#rank, round + 1);
  }

  async read({ signal, timeoutMs, silence }: RoundLimits): Promise<string[]> {
    const round = this.#round();
    const end = performance.now() + timeoutMs;
    for (;;) {
      const missing = [...this.#posted.keys()].filter((rank) => !this.#hasPosted(rank, round));
      if (missing.length === 0) break;
      if (performance.now() >= end) throw silence(missing);
      await delay(POLL_MS, signal);
    }
    return [...this.#posted.keys()].map((rank) => this.#text(rank, round));
  }

  early(): string[] {
    const next = this.#round() + 1;
    const ranks = [...this.#posted.keys()].filter((rank) => this.#hasPosted(rank, next));
    return ranks.map((rank) => this.#text(rank, next));
  }

  #round(): number {
    return Atomics.load(this.#posted, this.#rank);
  }

  #hasPosted(rank: number, round: number): boolean {
    return Atomics.load(this.#posted, rank) >= round;
  }

  #place(rank: number, round: number): Uint8Array<ArrayBuffer> {
    const begin = this.#posted.byteLength + (PLACES * rank + round % PLACES) * PLACE_BYTES;
    return this.#memory.subarray(begin, begin + PLACE_BYTES);
  }

  #text(rank: number, round: number): string {
    const place = this.#place(rank, round);
    const bytes = new DataView(place.buffer, place.byteOffset).getInt32(0, true);
    return new TextDecoder().decode(place.slice(LENGTH_BYTES, LENGTH_BYTES + bytes));
  }
}

/**
 * Pieces of work that threads take one by one, each piece once.
 *
 * @module
 */

/** The words of a queue. */
const WORD = { taken: 0, done: 1, length: 2 };

/** A queue that threads share by its memory. */
export class PieceQueue {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** @param origin The number of pieces; or another thread's queue, by its memory */
  constructor(origin: number | SharedArrayBuffer) {
    this.memory = typeof origin === "number"
      ? new SharedArrayBuffer(Object.keys(WORD).length * Int32Array.BYTES_PER_ELEMENT)
      : origin;
    this.#words = new Int32Array(this.memory);
    if (typeof origin === "number") this.#words[WORD.length] = origin;
  }

  /** True when all pieces are done. */
  get isDone(): boolean {
    return Atomics.load(this.#words, WORD.done) === this.#words[WORD.length];
  }

  /** Does pieces until none is left to take; those of other threads may not be done then. */
  work(doPiece: (piece: number) => void): void {
    const length = this.#words[WORD.length];
    for (;;) {
      const piece = Atomics.add(this.#words, WORD.taken, 1);
      if (piece >= length) return;
      doPiece(piece);
      Atomics.add(this.#words, WORD.done, 1);
    }
  }
}

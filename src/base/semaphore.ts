/**
 * A limit to what goes on at the same time.
 *
 * @module
 */

/** Lets a number of tasks run at a time, in the order in which they came. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** @param slots Tasks that may run at the same time */
  constructor(slots: number) {
    this.#free = slots;
  }

  /** Runs a task when its turn has come. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/**
 * Work that may take a share of a run's time.
 *
 * @module
 */

/** Runs something now and then: never more often than its share of the time allows. */
export class TimeShare {
  readonly #share: number;
  readonly #now: () => number;
  readonly #begun: number;
  #spent = 0;

  /**
   * @param share Of the time since now, 0 … 1
   * @param now A clock in milliseconds
   */
  constructor(share: number, now: () => number = () => performance.now()) {
    this.#share = share;
    this.#now = now;
    this.#begun = now();
  }

  /**
   * Runs `action`, unless it has taken more than its share so far; the first time always.
   *
   * @returns True when it ran
   */
  async spend(action: () => Promise<unknown>): Promise<boolean> {
    const start = this.#now();
    if (this.#spent > this.#share * (start - this.#begun)) return false;
    await action();
    this.#spent += this.#now() - start;
    return true;
  }
}

/**
 * Work that is limited to a share of a run's time.
 *
 * @module
 */

/** Runs an action occasionally, within its share of the time. */
export class TimeShare {
  readonly #share: number;
  readonly #now: () => number;
  readonly #begun: number;
  #spent = 0;

  /**
   * @param share Share of the time since construction, 0 … 1
   * @param now A clock in milliseconds
   */
  constructor(share: number, now: () => number = () => performance.now()) {
    this.#share = share;
    this.#now = now;
    this.#begun = now();
  }

  /**
   * Runs `action`, unless it has used up its share so far. The first call always runs it.
   *
   * @returns True when the action ran
   */
  async spend(action: () => Promise<unknown>): Promise<boolean> {
    const start = this.#now();
    if (this.#spent > this.#share * (start - this.#begun)) return false;
    await action();
    this.#spent += this.#now() - start;
    return true;
  }
}

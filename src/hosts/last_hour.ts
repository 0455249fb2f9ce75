/**
 * Happenings of the last hour, for limits of restarts.
 *
 * @module
 */

const HOUR_MS = 3_600_000;

/** Happenings of the last hour, oldest first. */
export class LastHour<T> {
  readonly #now: () => number;
  #entries: { readonly at: number; readonly what: T }[] = [];

  /** @param now Milliseconds of a monotonic clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Those of the hour that ends now. */
  get all(): readonly T[] {
    const begin = this.#now() - HOUR_MS;
    this.#entries = this.#entries.filter(({ at }) => at > begin);
    return this.#entries.map(({ what }) => what);
  }

  /** Notes that something happens now. */
  add(what: T): void {
    this.#entries.push({ at: this.#now(), what });
  }
}

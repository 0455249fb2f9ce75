/**
 * Measures the time for which a partner has been silent, as far as this process could have noticed it.
 *
 * @module
 */

const TICK_MS = 250;
// A tick that comes later than this means that this process itself stood still (a suspended laptop, a long
// synchronous piece of work): time in which it could not have heard anybody.
const MAX_TICK_MS = 1_000;

/** Measures silence by the monotonic clock, leaving out the time in which this process was not listening. */
export class SilenceTimer {
  readonly #timer: ReturnType<typeof setInterval>;
  #lastTick = performance.now();
  #silentMs = 0;
  #everHeard = false;

  /** @param onTick Called four times a second with the milliseconds of silence so far */
  constructor(onTick: (silentMs: number) => void) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#silentMs += Math.min(now - this.#lastTick, MAX_TICK_MS);
      this.#lastTick = now;
      onTick(this.#silentMs);
    }, TICK_MS);
  }

  /** Milliseconds of silence so far. */
  get silentMs(): number {
    return this.#silentMs;
  }

  /** The partner was heard. */
  heard(): void {
    this.#silentMs = 0;
    this.#everHeard = true;
  }

  /** The partner could not have been heard so far: the silence begins now. */
  excuse(): void {
    this.#silentMs = 0;
  }

  /** True if the partner was ever heard: on a busy machine the first heartbeat takes its time. */
  get everHeard(): boolean {
    return this.#everHeard;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

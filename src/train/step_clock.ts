/**
 * Where the time of a training step goes.
 *
 * @module
 */
import type { RankTimes } from "../exchange/gradient_exchange.ts";

/** A part of a step. */
export type StepPart = keyof RankTimes;

const nothing = (): Record<StepPart, number> => ({
  data: 0,
  forwardBackward: 0,
  exchange: 0,
  update: 0,
});

/** Gives each moment to the part that it ends, so that the parts add up to the step. */
export class StepClock {
  #last = performance.now();
  #times = nothing();
  readonly #known = nothing();

  /** A part ends now; it began where the one before ended. */
  lap(part: StepPart): void {
    const now = performance.now();
    this.#times[part] += now - this.#last;
    this.#known[part] = this.#times[part];
    this.#last = now;
  }

  /** What is known by now: of the parts that the step has not come to, the times of the step before. */
  get known(): RankTimes {
    return { ...this.#known };
  }

  /** The step has ended; returns its times. */
  next(): RankTimes {
    const times = this.#times;
    this.#times = nothing();
    return times;
  }
}

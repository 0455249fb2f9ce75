/**
 * The learning rates of a run: its schedule, its first rate and its length in one place.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import type { ScheduleConfig } from "./config.ts";
import { learningRateAt, type RunLength } from "./schedule.ts";

/** The settings of a run that decide its learning rates. */
export interface RatesConfig {
  readonly schedule: ScheduleConfig;
  readonly lr: number;
  readonly epochs: number;
}

/** Gives the learning rate of each step of a run. */
export class LearningRates {
  readonly #config: RatesConfig;
  readonly #length: RunLength;

  constructor(config: RatesConfig, stepsPerEpoch: number) {
    this.#config = config;
    this.#length = { epochs: config.epochs, stepsPerEpoch };
  }

  /**
   * The learning rate of a step.
   *
   * @param baseRate Rate before the schedule: the run's (default), or that of a group of parameters
   */
  at(step: StepKey, baseRate: number = this.#config.lr): number {
    return learningRateAt(this.#config.schedule, baseRate, step, this.#length);
  }
}

/**
 * The callbacks through which a program follows its run and may end it.
 *
 * @module
 */
import type { EpochRecord } from "../records/history.ts";

/** A completed training step. */
export interface StepInfo {
  /** Number of the epoch, counted from 1. */
  readonly epoch: number;
  /** Completed steps of the epoch. */
  readonly step: number;
  /** Steps of an epoch. */
  readonly steps: number;
  /** Mean over the step's samples; NaN if all their classes have weight 0, or if no sample could be read. */
  readonly loss: number;
  /** Share of the step's samples that are classified correctly (top-1), 0 … 1. */
  readonly accuracy: number;
  /** Learning rate of the parameters that belong to no named group. */
  readonly learningRate: number;
  /** Speed of this step, all workers together. */
  readonly imagesPerSecond: number;
}

/** `"stop"` ends the training in an orderly way; any other value continues it. */
export type Decision = "stop" | void;

/**
 * Functions that run in the program's own process during the run; the run waits for the promises that they
 * return.
 */
export interface Callbacks {
  /**
   * Called after each training step. A stop within an epoch leaves `checkpoints/last` there, without a
   * validation.
   */
  readonly onStep?: (step: StepInfo) => Decision | Promise<Decision>;
  /** Called after each epoch, once it is validated and recorded. */
  readonly onEpoch?: (record: EpochRecord) => Decision | Promise<Decision>;
}

/** Calls a program's functions; the first "stop" or error ends the training. */
export class CallbackRunner {
  readonly #callbacks: Callbacks;
  /** The callback that asked to stop, if one did. */
  stoppedBy: "onStep" | "onEpoch" | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(callbacks: Callbacks) {
    this.#callbacks = callbacks;
  }

  /** Tells whether the program listens to steps. */
  get hearsSteps(): boolean {
    return this.#callbacks.onStep !== undefined;
  }

  /** Tells whether training should end as soon as possible. */
  get wantsEnd(): boolean {
    return this.stoppedBy !== undefined || this.#failure !== undefined;
  }

  /** Calls `onStep`, unless the end was requested; {@linkcode throwFailure} rethrows its error. */
  async step(info: StepInfo): Promise<void> {
    const { onStep } = this.#callbacks;
    if (!onStep || this.wantsEnd) return;
    try {
      if (await onStep(info) === "stop") this.stoppedBy = "onStep";
    } catch (error) {
      this.#failure = { error };
    }
  }

  /** Calls `onEpoch`. */
  async epoch(record: EpochRecord): Promise<void> {
    if (await this.#callbacks.onEpoch?.(record) === "stop") this.stoppedBy = "onEpoch";
  }

  /** Rethrows the error of `onStep`; called once the state is saved. */
  throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/**
 * The callbacks through which a program follows its run and may end it.
 *
 * @module
 */
import type { EpochRecord } from "../records/history.ts";

/** A training step that was taken. */
export interface StepInfo {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
  /** Steps of an epoch. */
  readonly steps: number;
  /** Mean over the step's samples; NaN where their classes all have weight 0, or none could be read. */
  readonly loss: number;
  /** Share of the step's samples whose highest logit is their label's, 0 … 1. */
  readonly accuracy: number;
  /** Of the parameters that no group names. */
  readonly learningRate: number;
  /** Of this step, all workers together. */
  readonly imagesPerSecond: number;
}

/** `"stop"` ends the training in an orderly way; anything else lets it go on. */
export type Decision = "stop" | void;

/** Functions that are called in the program's own process as the run goes on; the run waits for what they return. */
export interface Callbacks {
  /** After each training step. To stop here leaves `checkpoints/last` within the epoch, which isn't validated. */
  readonly onStep?: (step: StepInfo) => Decision | Promise<Decision>;
  /** After each epoch, when it is validated and on record. */
  readonly onEpoch?: (record: EpochRecord) => Decision | Promise<Decision>;
}

/** Calls a program's functions; the first "stop" or error counts. */
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

  /** Tells whether training should end as soon as it can. */
  get wantsEnd(): boolean {
    return this.stoppedBy !== undefined || this.#failure !== undefined;
  }

  /** Calls `onStep`, unless the end is near; what it throws is kept until {@linkcode throwFailure}. */
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

  /** Throws what `onStep` threw, now that the state is saved. */
  throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

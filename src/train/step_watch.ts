/**
 * Watches a rank's steps: the place of the rank, and the times of the parts of a step.
 *
 * @module
 */
import { enterFaultStep } from "../base/fault_point.ts";
import { perStepPart, type StepPart, type StepTimes } from "../base/step_times.ts";
import type { StepResult } from "../exchange/gradient_exchange.ts";
import type { StepPhase } from "../protocol/step_phases.ts";

/** Listens to a rank that trains. */
export interface StepObserver {
  /** A step begins: its batch is here. */
  onBegin?(step: number): void;
  /** A part of a step begins. */
  onPhase?(step: number, phase: StepPhase): void;
  /** The step's new version of the state is the current one now. */
  onCommit?(): void;
  /** A step has ended. */
  onEnd?(step: number, times: StepTimes, result: StepResult): void;
}

/** The part of a step's time that a phase counts as. */
const PARTS: Readonly<Record<StepPhase, StepPart>> = {
  "none": "data",
  "waiting for its batch": "data",
  "computing": "forwardBackward",
  "waiting for the other ranks": "exchange",
  "updating its parameters": "update",
  "summing gradients": "exchange",
  "waiting for the coordinator": "exchange",
};

const nothing = () => perStepPart(() => 0);

/** Tells an observer where a rank is, and gives each moment to one phase, so that the parts add up to the step. */
export class StepWatch {
  readonly #observer: StepObserver;
  readonly #lastStep: number;
  readonly #known = nothing();
  #times = nothing();
  #since = performance.now();
  #phase: StepPhase = "none";
  #step: number;

  /** @param steps Numbers of the first and of the last step, for what comes before and after them */
  constructor({ first, last }: { first: number; last: number }, observer: StepObserver) {
    this.#step = first;
    this.#lastStep = last;
    this.#observer = observer;
  }

  /** A phase ends, and another one begins. */
  enter(phase: StepPhase): void {
    this.#lap();
    this.#phase = phase;
    this.#observer.onPhase?.(this.#step, phase);
  }

  /** A step's batch is here. */
  begin(step: number): void {
    this.#step = step;
    enterFaultStep(step);
    this.#observer.onBegin?.(step);
  }

  /** A step has ended. */
  end(result: StepResult): void {
    this.#lap();
    const times = this.#times;
    this.#times = nothing();
    this.#phase = "none"; // what follows belongs to the next step
    this.#observer.onEnd?.(this.#step, times, result);
    this.#step = Math.min(this.#step + 1, this.#lastStep);
  }

  /** The times of the step so far; of the parts that it has not come to, those of the step before. */
  get times(): StepTimes {
    return { ...this.#known };
  }

  #lap(): void {
    const now = performance.now();
    const part = PARTS[this.#phase];
    this.#times[part] += now - this.#since;
    this.#known[part] = this.#times[part];
    this.#since = now;
  }
}

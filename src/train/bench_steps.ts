/**
 * Clocks around the parts of the training loop: `trainEpoch` itself is what `bench scaling` measures.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { StepResult } from "../exchange/gradient_exchange.ts";
import type { StepTimes } from "./bench_commands.ts";
import { type EpochParts, type EpochSpan, trainEpoch } from "./train_epoch.ts";

/** What the clocks saw. */
export interface TimedEpoch {
  /** All steps, the first ones included. */
  readonly steps: StepTimes[];
  /** Mean loss of the last step over all ranks. */
  readonly loss: number;
  /** When the first step was done: milliseconds since 1970. */
  readonly firstStepAt: number;
}

/**
 * Trains an epoch and times the parts of each step.
 *
 * @throws {LockstepError} when loss or gradients leave the numbers
 */
export async function timeEpoch(
  parts: EpochParts,
  span: EpochSpan,
  onStep: (step: number) => void,
  signal?: AbortSignal,
): Promise<TimedEpoch> {
  const clock = new StepClock();
  const { replica, loader, exchange } = parts;
  let loss = NaN;
  const timed: EpochParts = {
    ...parts,
    loader: {
      batches: (...args) => timedBatches(loader.batches(...args), clock),
    },
    replica: {
      get vector() {
        return replica.vector;
      },
      optimizer: replica.optimizer,
      forwardBackward: (...args) =>
        clock.time("forwardBackward", () => replica.forwardBackward(...args)),
      applyUpdate: (...args) => clock.time("update", () => replica.applyUpdate(...args)),
    },
    exchange: {
      allReduce: async (...args) => {
        const reduced: StepResult = await clock.time("exchange", () => exchange.allReduce(...args));
        loss = reduced.lossSum / reduced.weight;
        return reduced;
      },
      vector: exchange.vector,
      close: () => exchange.close(),
    },
  };
  const { notFinite } = await trainEpoch(timed, span, onStep, signal);
  if (notFinite !== undefined) {
    throw new LockstepError(`Loss or gradients left the numbers in step ${notFinite}`);
  }
  const { steps, firstStepAt } = clock;
  return { steps, loss, firstStepAt };
}

/** Adds up where a step's time goes. */
class StepClock {
  readonly steps: StepTimes[] = [];
  firstStepAt = 0;
  #step: StepTimes | undefined;
  #begin = 0;

  /** A step ends, if one was running, and the next begins. */
  next(): void {
    this.end();
    this.#begin = performance.now();
    this.#step = { data: 0, forwardBackward: 0, exchange: 0, update: 0, total: 0 };
  }

  end(): void {
    if (!this.#step) return;
    this.#step.total = performance.now() - this.#begin;
    this.steps.push(this.#step);
    this.#step = undefined;
    this.firstStepAt ||= Date.now();
  }

  /** Drops a step that turned out to have no batch. */
  drop(): void {
    this.#step = undefined;
  }

  async time<T>(part: keyof StepTimes, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.#step![part] += performance.now() - start;
    return result;
  }
}

/** A step begins when the loop asks for its batch. */
async function* timedBatches<T>(
  source: AsyncGenerator<T, void, undefined>,
  clock: StepClock,
): AsyncGenerator<T, void, undefined> {
  try {
    while (true) {
      clock.next();
      const next = await clock.time("data", () => source.next());
      if (next.done) return clock.drop();
      yield next.value;
    }
  } finally {
    clock.end(); // the loop left at the coordinator's word
    await source.return();
  }
}

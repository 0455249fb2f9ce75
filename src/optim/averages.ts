/**
 * An exponential moving average of a model's weights.
 *
 * Source: `torch.optim.swa_utils.AveragedModel` with `use_buffers`; for the rule `torchvision`
 * `references/classification/train.py` of torchvision.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import { VectorPass } from "../engine/capture/vector_pass.ts";
import { copyRange } from "../engine/device_memory.ts";
import type { Elementwise } from "../engine/elementwise.ts";
import type { VersionedMemory } from "../engine/versioned_memory.ts";
import type { EmaConfig } from "./config.ts";
import { isWarmingUp, type RunLength, type WarmupConfig } from "./schedule.ts";
import type { StepKey } from "../base/step_key.ts";

/** The settings on which the averages of a run depend beside the step. */
export interface AveragesOfRun extends RunLength {
  readonly ema: EmaConfig;
  /** Samples per step over all workers. */
  readonly globalBatch: number;
  /** The learning rate's schedule, for its warm-up. */
  readonly schedule: WarmupConfig;
}

/**
 * The share of the new values in the averages of a step: 0 leaves the averages as they are, 1 restarts them.
 *
 * The rule `torchvision` counts the steps of each epoch anew and scales the share of new values by
 * `globalBatch · everySteps / epochs`. It copies the weights until the warm-up has ended, and at the first update after.
 *
 * @param place Of the step in the run; counted from 0 within its epoch
 * @param optimizerStep The step's number in the run, counted from 1
 */
export function newShareAt(
  { ema, globalBatch, schedule, ...length }: AveragesOfRun,
  place: StepKey,
  optimizerStep: number,
): number {
  if (ema.rule === "steps") return newShareOfSteps(ema, optimizerStep);
  const { decay, everySteps } = ema;
  if (place.step % everySteps !== 0) return 0;
  const before = updateBefore(place, everySteps, length.stepsPerEpoch);
  const isFirst = !before || isWarmingUp(schedule, before, length);
  if (isFirst || isWarmingUp(schedule, place, length)) return 1;
  return Math.min(1, (1 - decay) * globalBatch * everySteps / length.epochs);
}

/** The rule `steps`, which counts the optimizer's steps through the run: the first one begins the averages. */
export function newShareOfSteps(
  { decay, everySteps }: Pick<EmaConfig, "decay" | "everySteps">,
  optimizerStep: number,
): number {
  if (optimizerStep === 1) return 1;
  return (optimizerStep - 1) % everySteps === 0 ? 1 - decay : 0;
}

/** Returns the step of the previous update of the averages; nothing at the first update. */
function updateBefore(
  { epoch, step }: StepKey,
  everySteps: number,
  stepsPerEpoch: number,
): StepKey | undefined {
  if (step >= everySteps) return { epoch, step: step - everySteps };
  if (epoch === 1) return undefined;
  return { epoch: epoch - 1, step: Math.floor((stepsPerEpoch - 1) / everySteps) * everySteps };
}

/** Vectors of one layout. */
export interface AverageMemory {
  /** Parameters and running statistics. */
  readonly values: VersionedMemory;
  readonly averages: VersionedMemory;
  /** The range of the vectors that is updated here. */
  readonly range: FloatRange;
}

/** `average − share · average + share · value`. */
const MIX: Elementwise = {
  inputs: 2,
  outputs: 1,
  numbers: 1,
  compute: (ops, [average, value], [share]) => [
    ops.add(ops.sub(average, ops.mul(share, average)), ops.mul(share, value)),
  ],
};

/** The averages of a part of some values. */
export class WeightAverages implements Disposable {
  readonly #memory: AverageMemory;
  readonly #mix = new VectorPass("averages", MIX);

  constructor(memory: AverageMemory) {
    this.#memory = memory;
  }

  /**
   * Computes the next version of the averages from the next version of the values:
   * `average = (1 − share) · average + share · value`.
   *
   * @param share As from {@linkcode newShareAt}; with 1 the values are copied bit by bit
   * @returns False where the averages stay as they are: there is no next version then
   */
  async update(share: number): Promise<boolean> {
    if (share === 0) return false;
    const { values, averages, range } = this.#memory;
    if (share === 1) copyRange(values.next, averages.next, range);
    else {
      await this.#mix.run([{
        range,
        inputs: [averages.current, values.next],
        outputs: [averages.next],
        numbers: [share],
      }]);
    }
    return true;
  }

  /** Restarts the averages with the present values. */
  reset(): void {
    const { values, averages, range } = this.#memory;
    copyRange(values.current, averages.current, range);
  }

  [Symbol.dispose](): void {
    this.#mix[Symbol.dispose]();
  }
}

/**
 * An exponential moving average of a model's weights.
 *
 * Source: `torch.optim.swa_utils.AveragedModel` with `use_buffers`; for the rule `torchvision`
 * `references/classification/train.py` of torchvision.
 *
 * @module
 */
import { bytesIn, type FloatRange } from "../base/float_range.ts";
import { addScaled, NativeVector, VectorView } from "../engine/native_vector.ts";
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

/** Vectors of one layout, float32, aligned to 64 bytes. */
export interface AverageMemory {
  /** Parameters and running statistics. */
  readonly values: Uint8Array<ArrayBuffer>;
  readonly averages: Uint8Array<ArrayBuffer>;
  /** The range of the vectors that is updated here. */
  readonly range: FloatRange;
}

/** The averages of a part of some values. */
export class WeightAverages implements Disposable {
  readonly #values: Uint8Array<ArrayBuffer>;
  readonly #averages: Uint8Array<ArrayBuffer>;
  readonly #average: NativeVector;
  readonly #views: { readonly values: VectorView; readonly averages: VectorView };

  constructor({ values, averages, range }: AverageMemory) {
    this.#values = bytesIn(values, range);
    this.#averages = bytesIn(averages, range);
    this.#average = new NativeVector(this.#averages);
    this.#views = {
      values: new VectorView(this.#values),
      averages: new VectorView(this.#averages),
    };
  }

  /**
   * Takes the present values in: `average = (1 − share) · average + share · value`.
   *
   * @param share As from {@linkcode newShareAt}; with 1 the values are copied bit by bit
   */
  async update(share: number): Promise<void> {
    if (share === 1) return this.reset();
    if (share === 0) return;
    await addScaled(this.#average, -share, this.#views.averages);
    await addScaled(this.#average, share, this.#views.values);
    this.#average.readInto(this.#averages);
  }

  /** Restarts the averages with the present values. */
  reset(): void {
    this.#averages.set(this.#values);
    this.reload();
  }

  /** The averages were changed by somebody else. */
  reload(): void {
    this.#average.assign(this.#averages);
  }

  [Symbol.dispose](): void {
    for (const held of [this.#average, ...Object.values(this.#views)]) held[Symbol.dispose]();
  }
}

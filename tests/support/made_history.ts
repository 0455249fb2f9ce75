/**
 * Histories of long runs, made without training.
 *
 * @module
 */
import type { History } from "../../src/records/history.ts";

/** Options for {@linkcode addMadeEpoch}. */
export interface MadeEpoch {
  readonly accuracy: number;
  /** Points of the training loss. */
  readonly points: number;
  /** Validation images. */
  readonly count: number;
}

/** Adds an epoch of 100 images to a history: losses that fall, a validation, the epoch's line. */
export function addMadeEpoch(history: History, { accuracy, points, count }: MadeEpoch): void {
  const epoch = history.epochs.length + 1;
  const loss = 1 / epoch;
  for (let step = 1; step <= points; step++) {
    const examples = 100 * (epoch - 1) + 100 * step / points;
    history.losses.push({ examples, epoch, step, loss: 1 / (epoch + step) });
  }
  history.validations.push({ examples: 100 * epoch, epoch, step: points, loss, accuracy });
  history.epochs.push({
    epoch,
    learningRate: 0.01,
    train: { loss, accuracy },
    validation: { loss, accuracy, count },
    seconds: 4.5,
    imagesPerSecond: 60.25,
  });
}

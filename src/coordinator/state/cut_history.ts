/**
 * Cuts a history back to a checkpoint.
 *
 * @module
 */
import { UsageError } from "../../base/errors.ts";
import type { RecordedPoint } from "../../base/step_key.ts";
import { isBetter, type Monitor, monitored } from "../../metrics/monitor.ts";
import type { EpochRecord, History } from "../../records/history.ts";

/** A place in a run, and the facts that decide which records are later than the place. */
export interface CutPoint extends RecordedPoint {
  readonly stepsPerEpoch: number;
  /** Decides which of the remaining epochs is the best. */
  readonly monitor: Monitor;
}

/**
 * Removes all records of a history that are later than a checkpoint, since the run repeats that part. A best
 * epoch that is removed stays recorded as `best.kept`: its weights are still in `checkpoints/best`. Recoveries stay,
 * wherever they took place: their seconds were spent, and they are not repeated.
 *
 * @throws {UsageError} when the history lacks epochs before the checkpoint
 */
export function cutHistory(history: History, place: CutPoint): void {
  const { epoch, step, stepsPerEpoch } = place;
  if (history.epochs.length < epoch - 1) {
    throw new UsageError(
      `history.json ends after epoch ${history.epochs.length}, but the checkpoint stands in epoch ${epoch}: ` +
        "restore the history.json of this run, or start a new run with the checkpoint's weights (--weights)",
    );
  }
  const isDone = step >= stepsPerEpoch;
  history.epochs = history.epochs.filter((each) =>
    each.epoch < epoch || (each.epoch === epoch && isDone)
  );
  const recorded = history.epochs.length;
  const isKnown = (point: RecordedPoint) =>
    point.epoch < epoch || (point.epoch === epoch && point.step <= step);
  history.losses = history.losses.filter(isKnown);
  // The validation after an epoch is recorded together with the epoch.
  history.validations = history.validations.filter((point) =>
    isKnown(point) && (point.step < stepsPerEpoch || point.epoch <= recorded)
  );
  if (history.stopped && !isKnown(history.stopped)) delete history.stopped;
  if (history.best.epoch > recorded) cutBest(history, place.monitor);
}

function cutBest(history: History, monitor: Monitor): void {
  const { epoch, accuracy, kept = { epoch, accuracy } } = history.best;
  const best = bestOf(history.epochs, monitor);
  history.best = {
    epoch: best?.epoch ?? 0,
    accuracy: best?.validation.accuracy ?? NaN,
    kept,
  };
}

/** The best epoch as of the last one, by the rule of a run in progress. */
function bestOf(epochs: readonly EpochRecord[], monitor: Monitor): EpochRecord | undefined {
  let best: EpochRecord | undefined;
  for (const record of epochs) {
    const before = best ? monitored(monitor, best) : NaN;
    if (isBetter(monitor, monitored(monitor, record), before)) best = record;
  }
  return best;
}

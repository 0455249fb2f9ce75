/**
 * Checks whether a resumed run's best checkpoint is the one that its history records.
 *
 * @module
 */
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import type { History } from "../../records/history.ts";
import { readCheckpoint } from "../../checkpoint/checkpoint.ts";

/**
 * Compares `checkpoints/best` with the best epoch of a history. If the weights of that epoch are missing, the
 * history gets no best epoch, so that the next epoch becomes the best.
 *
 * @param checkpoints The run's `checkpoints` folder
 * @param history Up to the place where the run resumes
 * @returns The problem; `undefined` if the weights are there, or belong to an epoch that is repeated
 */
export async function checkResumedBest(
  checkpoints: string,
  history: History,
): Promise<string | undefined> {
  const { epoch, accuracy, kept } = history.best;
  if (kept || epoch === 0) return undefined;
  const wrong = await whatIsWrong(join(checkpoints, "best"), history);
  if (wrong === undefined) return undefined;
  history.best = { epoch: 0, accuracy: NaN };
  const known = Number.isFinite(accuracy) ? `, accuracy ${accuracy.toFixed(3)}` : "";
  return `The best weights so far (epoch ${epoch}${known}) are lost: ${wrong}. ` +
    "The best is chosen from the epochs that follow";
}

async function whatIsWrong(path: string, history: History): Promise<string | undefined> {
  const { epoch, accuracy } = history.best;
  try {
    const { info } = await readCheckpoint(path);
    const kept = info.accuracy ?? NaN;
    if (info.epoch === epoch && Object.is(kept, accuracy)) return undefined;
    if (info.epoch > history.epochs.length) {
      // A run was killed before the history recorded this epoch.
      history.best = { ...history.best, kept: { epoch: info.epoch, accuracy: kept } };
      return undefined;
    }
    const known = Number.isFinite(kept) ? ` with accuracy ${kept.toFixed(3)}` : "";
    return `${path} is of epoch ${info.epoch}${known}`;
  } catch (error) {
    return messageOf(error);
  }
}

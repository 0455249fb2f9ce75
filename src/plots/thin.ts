/**
 * Fewer points for a drawing: a line of 10,000 looks the same as one of 1,000, and costs ten times as much.
 *
 * @module
 */
import { mean } from "../base/statistics.ts";
import type { EpochRecord, LossPoint } from "../records/history.ts";

/** Most points of a line, and most dots. */
export const MAX_POINTS = 1000;

/** Every k-th epoch, with the best and the last one; all of them up to 1,000. */
export function thinEpochs(epochs: readonly EpochRecord[], bestEpoch: number): EpochRecord[] {
  const every = Math.ceil(epochs.length / MAX_POINTS);
  return epochs.filter(({ epoch }, index) =>
    index % every === 0 || index === epochs.length - 1 || epoch === bestEpoch
  );
}

/** The numbers, from 1, of every k-th epoch and the last one: at most `most` and one. */
export function someEpochs(count: number, most: number): number[] {
  const every = Math.max(1, Math.ceil(count / most));
  return Array.from({ length: count }, (_, index) => index + 1)
    .filter((epoch) => (epoch - 1) % every === 0 || epoch === count);
}

/** Means over equal numbers of neighbours; all points as they are up to 1,000. */
export function thinLosses(points: readonly LossPoint[]): Pick<LossPoint, "examples" | "loss">[] {
  const every = Math.ceil(points.length / MAX_POINTS);
  const thin: Pick<LossPoint, "examples" | "loss">[] = [];
  for (let start = 0; start < points.length; start += every) {
    const window = points.slice(start, start + every);
    const loss = mean(window.map((point) => point.loss));
    thin.push({ examples: window[window.length - 1].examples, loss });
  }
  return thin;
}

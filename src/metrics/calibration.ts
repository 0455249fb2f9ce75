/**
 * Measures whether a model is right as often as it says: reliability bins and the calibration errors computed
 * from them.
 *
 * Definitions of Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks"
 * (arXiv:1706.04599), section 2; the bins are those of Naeini, Cooper and Hauskrecht 2015.
 *
 * @module
 */

/** Bins that the literature compares with. */
export const CALIBRATION_BINS = 15;

/** Samples whose confidence lies in a range. */
export interface ReliabilityBin {
  /** Confidences above this, in 0 … 1; the first bin holds 0 too. */
  from: number;
  /** Up to and with this. */
  to: number;
  /** Samples in the bin. */
  count: number;
  /** Mean probability of their predicted classes; NaN without samples. */
  confidence: number;
  /** Share of them that is right; NaN without samples. */
  accuracy: number;
}

/** The differences between confidence and accuracy. */
export interface Calibration {
  /** Expected calibration error: Σ count/n · |accuracy − confidence| over the bins, 0 … 1; NaN without samples. */
  ece: number;
  /** Maximum calibration error: the largest |accuracy − confidence| of a bin that has samples. */
  mce: number;
  /** Mean probability of the predicted classes. */
  confidence: number;
  /** The bins from the lowest confidences to the highest, of equal width. */
  bins: ReliabilityBin[];
}

/**
 * Sorts samples into bins of equal width by their confidence, and measures how far off it is.
 *
 * @param confidences [n], probability of the predicted class
 * @param right [n], whether the predicted class is the true one
 * @param binCount Number of bins
 * @throws {RangeError} when the lengths differ or a confidence is above 1 or below 0 by more than rounding
 */
export function calibration(
  confidences: ArrayLike<number>,
  right: ArrayLike<boolean>,
  binCount = CALIBRATION_BINS,
): Calibration {
  if (confidences.length !== right.length) {
    throw new RangeError(`${confidences.length} confidences for ${right.length} predictions`);
  }
  const sums = Array.from({ length: binCount }, () => ({ count: 0, confidence: 0, right: 0 }));
  let total = 0;
  for (let index = 0; index < confidences.length; index++) {
    const confidence = confidences[index];
    if (Number.isNaN(confidence)) return notANumber(binCount);
    const bin = sums[binOf(confidence, binCount)];
    bin.count++;
    bin.confidence += confidence;
    bin.right += right[index] ? 1 : 0;
    total += confidence;
  }
  const bins = sums.map(({ count, confidence, right }, index) => ({
    from: index / binCount,
    to: (index + 1) / binCount,
    count,
    confidence: confidence / count,
    accuracy: right / count,
  }));
  const filled = bins.filter(({ count }) => count > 0);
  const gap = ({ accuracy, confidence }: ReliabilityBin) => Math.abs(accuracy - confidence);
  const n = confidences.length;
  return {
    ece: filled.reduce((sum, bin) => sum + bin.count * gap(bin), 0) / n,
    mce: filled.length > 0 ? Math.max(...filled.map(gap)) : NaN,
    confidence: total / n,
    bins,
  };
}

/** The bin ((m − 1)/M, m/M] of a confidence, counted from 0. */
function binOf(confidence: number, count: number): number {
  if (confidence < -1e-6 || confidence > 1 + 1e-6) {
    throw new RangeError(`A confidence of ${confidence} is no probability`);
  }
  // The same comparison as against the edges: a product may round to the other side of one.
  let bin = Math.min(count - 1, Math.max(0, Math.ceil(confidence * count) - 1));
  while (bin > 0 && confidence <= bin / count) bin--;
  while (bin < count - 1 && confidence > (bin + 1) / count) bin++;
  return bin;
}

function notANumber(binCount: number): Calibration {
  const empty = calibration([], [], binCount);
  return { ...empty, ece: NaN, mce: NaN, confidence: NaN };
}

/**
 * Computes how often the true class is among the first k.
 *
 * @module
 */

/**
 * The share of samples whose true class is among the k most probable ones (Russakovsky et al. 2015,
 * "ImageNet Large Scale Visual Recognition Challenge", with k = 5), 0 … 1; NaN without samples.
 *
 * @param labels [n]
 * @param ranked [n, width], each row's classes from the most probable on
 * @throws {RangeError} when the rows have fewer than k classes, or there is not one row per label
 */
export function topKAccuracy(
  labels: ArrayLike<number>,
  ranked: ArrayLike<number>,
  { k, width }: { k: number; width: number },
): number {
  if (k > width || ranked.length !== labels.length * width) {
    throw new RangeError(
      `${ranked.length} ranked classes are not ${width} for each of ${labels.length} labels, or fewer than ${k}`,
    );
  }
  let right = 0;
  for (let row = 0; row < labels.length; row++) {
    for (let rank = 0; rank < k; rank++) {
      if (ranked[row * width + rank] !== labels[row]) continue;
      right++;
      break;
    }
  }
  return right / labels.length;
}

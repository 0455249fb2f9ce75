/**
 * Which classes are taken for which.
 *
 * @module
 */

/** Sample counts by true class (row) and predicted class (column). */
export type ConfusionMatrix = number[][];

/** How well one class is recognized. */
export interface ClassAccuracy {
  /** Its name. */
  class: string;
  /** The share of the class's samples that were recognized, 0 … 1; NaN without samples. */
  accuracy: number;
  /** Samples of the class. */
  count: number;
}

/**
 * Counts predictions by true and predicted class.
 *
 * @param labels True classes, 0 … `classes` − 1
 * @param predictions Predicted classes, one per label
 * @param classes Number of classes
 * @throws {RangeError} when the lengths differ or a value is no class
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): ConfusionMatrix {
  if (labels.length !== predictions.length) {
    throw new RangeError(
      `There are ${labels.length} labels but ${predictions.length} predictions: give one per label`,
    );
  }
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let index = 0; index < labels.length; index++) {
    checkClass("Label", labels[index], index, classes);
    checkClass("Prediction", predictions[index], index, classes);
    matrix[labels[index]][predictions[index]]++;
  }
  return matrix;
}

/**
 * The accuracy of each class: the diagonal over the sum of its row (recall).
 *
 * @param names Class names in the order of the labels
 * @throws {RangeError} when there is not one name per class
 */
export function perClassAccuracy(
  matrix: ConfusionMatrix,
  names: readonly string[],
): ClassAccuracy[] {
  if (matrix.length !== names.length) {
    throw new RangeError(
      `The matrix has ${matrix.length} classes but ${names.length} names: give one per class`,
    );
  }
  return matrix.map((row, label) => {
    const count = row.reduce((sum, value) => sum + value, 0);
    return { class: names[label], accuracy: count > 0 ? row[label] / count : NaN, count };
  });
}

/** The share of all samples that were recognized, 0 … 1; NaN without samples. */
export function overallAccuracy(matrix: ConfusionMatrix): number {
  let right = 0;
  let count = 0;
  matrix.forEach((row, label) => {
    right += row[label];
    for (const value of row) count += value;
  });
  return count > 0 ? right / count : NaN;
}

function checkClass(what: string, value: number, index: number, classes: number): void {
  if (Number.isInteger(value) && value >= 0 && value < classes) return;
  throw new RangeError(`${what} ${value} at ${index} is no class: classes are 0 to ${classes - 1}`);
}

/**
 * The confusion matrix: sample counts by true and predicted class.
 *
 * Only the cells that hold samples are kept: a dense matrix of 21,000 classes would take 3.5 GB, while there are never
 * more such cells than samples.
 *
 * @module
 */

/** Number of classes up to which files and the public interface hold the matrix as rows of numbers. */
export const MAX_DENSE_CLASSES = 256;

/** Sample counts by true and predicted class: the cells that are not 0, sorted by true, then by predicted class. */
export interface ConfusionCounts {
  /** Number of classes. */
  readonly classes: number;
  /** True class of each cell. */
  readonly labels: Int32Array;
  /** Predicted class of each cell. */
  readonly predictions: Int32Array;
  /** Samples of each cell, at least 1. */
  readonly counts: Int32Array;
}

/** A confusion matrix as it is written: dense up to {@linkcode MAX_DENSE_CLASSES} classes, else its cells. */
export interface ConfusionRecord {
  /** Samples by true class (row) and predicted class (column); only where there are few classes. */
  confusionMatrix?: number[][] | undefined;
  /** Cells that are not 0, where there are many classes: true class, predicted class, samples. */
  confusions?: [label: number, predicted: number, count: number][] | undefined;
}

/** A cell off the diagonal. */
export interface ConfusedPair {
  readonly label: number;
  readonly predicted: number;
  readonly count: number;
  /** Share of the samples of the true class, 0 … 1. */
  readonly share: number;
}

/** The accuracy of one class. */
export interface ClassAccuracy {
  /** Its name. */
  class: string;
  /** The share of the class's samples that were recognized, 0 … 1; NaN without samples. */
  accuracy: number;
  /** Samples of the class. */
  count: number;
}

/**
 * Counts predictions by true and predicted class, in O(n log n) for n samples, whatever the number of classes.
 *
 * @param labels True classes, 0 … `classes` − 1
 * @param predictions Predicted classes, one per label
 * @param classes Number of classes
 * @throws {RangeError} when the lengths differ or a value is no class
 */
export function countConfusions(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): ConfusionCounts {
  if (labels.length !== predictions.length) {
    throw new RangeError(
      `There are ${labels.length} labels but ${predictions.length} predictions: give one per label`,
    );
  }
  const keys = new Float64Array(labels.length);
  for (let index = 0; index < labels.length; index++) {
    checkClass("Label", labels[index], index, classes);
    checkClass("Prediction", predictions[index], index, classes);
    keys[index] = labels[index] * classes + predictions[index];
  }
  keys.sort();
  const cells: [number, number, number][] = [];
  for (let start = 0; start < keys.length;) {
    let end = start + 1;
    while (end < keys.length && keys[end] === keys[start]) end++;
    const label = Math.floor(keys[start] / classes);
    cells.push([label, keys[start] - label * classes, end - start]);
    start = end;
  }
  return countsOf(cells, classes);
}

/** The matrix as rows of numbers: true class (row), predicted class (column). */
export function denseConfusion(
  { classes, labels, predictions, counts }: ConfusionCounts,
): number[][] {
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  counts.forEach((count, cell) => matrix[labels[cell]][predictions[cell]] = count);
  return matrix;
}

/** The counts in the form in which files hold them. */
export function confusionRecord(confusion: ConfusionCounts): ConfusionRecord {
  if (confusion.classes <= MAX_DENSE_CLASSES) {
    return { confusionMatrix: denseConfusion(confusion) };
  }
  const { labels, predictions, counts } = confusion;
  return {
    confusions: Array.from(counts, (count, cell) => [labels[cell], predictions[cell], count]),
  };
}

/**
 * The counts of what {@linkcode confusionRecord} wrote.
 *
 * @returns Nothing where the record has neither form, or is not one of so many classes
 */
export function confusionOf(
  { confusionMatrix, confusions }: ConfusionRecord,
  classes: number,
): ConfusionCounts | undefined {
  if (confusionMatrix) {
    if (confusionMatrix.length !== classes) return undefined;
    if (confusionMatrix.some((row) => row.length !== classes)) return undefined;
    return fromDense(confusionMatrix);
  }
  const isCell = ([label, predicted]: [number, number, number]) =>
    label < classes && predicted < classes;
  return confusions?.every(isCell) ? countsOf(confusions, classes) : undefined;
}

/** The counts of a matrix of rows. */
export function fromDense(matrix: readonly (readonly number[])[]): ConfusionCounts {
  const cells = matrix.flatMap((row, label) =>
    row.flatMap((count, predicted): [number, number, number][] =>
      count > 0 ? [[label, predicted, count]] : []
    )
  );
  return countsOf(cells, matrix.length);
}

/** Samples of each true class. */
export function supportsOf({ classes, labels, counts }: ConfusionCounts): Float64Array {
  const sums = new Float64Array(classes);
  counts.forEach((count, cell) => sums[labels[cell]] += count);
  return sums;
}

/** Samples that were taken for each class. */
export function predictedOf({ classes, predictions, counts }: ConfusionCounts): Float64Array {
  const sums = new Float64Array(classes);
  counts.forEach((count, cell) => sums[predictions[cell]] += count);
  return sums;
}

/** Samples of each class that were recognized: the diagonal. */
export function recognizedOf(
  { classes, labels, predictions, counts }: ConfusionCounts,
): Float64Array {
  const diagonal = new Float64Array(classes);
  counts.forEach((count, cell) => {
    if (labels[cell] === predictions[cell]) diagonal[labels[cell]] = count;
  });
  return diagonal;
}

/**
 * The accuracy of each class: the diagonal over the sum of its row (recall).
 *
 * @param names Class names in the order of the labels
 * @throws {RangeError} when there is not one name per class
 */
export function perClassAccuracy(
  confusion: ConfusionCounts,
  names: readonly string[],
): ClassAccuracy[] {
  if (confusion.classes !== names.length) {
    throw new RangeError(
      `The matrix has ${confusion.classes} classes but ${names.length} names: give one per class`,
    );
  }
  const [supports, right] = [supportsOf(confusion), recognizedOf(confusion)];
  return names.map((name, label) => {
    const count = supports[label];
    return { class: name, accuracy: count > 0 ? right[label] / count : NaN, count };
  });
}

/** The share of all samples that were recognized, 0 … 1; NaN without samples. */
export function overallAccuracy({ labels, predictions, counts }: ConfusionCounts): number {
  let [right, all] = [0, 0];
  counts.forEach((count, cell) => {
    if (labels[cell] === predictions[cell]) right += count;
    all += count;
  });
  return all > 0 ? right / all : NaN;
}

/**
 * The mistakes that are made most often: those of equal counts by their share of the class, then by class.
 *
 * @param most The number of pairs to return at most
 * @returns The pairs, and the number of all such pairs
 */
export function worstConfusions(
  confusion: ConfusionCounts,
  most: number,
): { pairs: ConfusedPair[]; total: number } {
  const supports = supportsOf(confusion);
  const { labels, predictions, counts } = confusion;
  let kept: ConfusedPair[] = [];
  let total = 0;
  const cut = () => kept = kept.sort(byWeight).slice(0, most);
  for (let cell = 0; cell < counts.length; cell++) {
    const [label, predicted, count] = [labels[cell], predictions[cell], counts[cell]];
    if (label === predicted) continue;
    total++;
    kept.push({ label, predicted, count, share: count / supports[label] });
    if (kept.length >= 2 * most + 64) cut();
  }
  return { pairs: cut(), total };
}

function byWeight(a: ConfusedPair, b: ConfusedPair): number {
  return b.count - a.count || b.share - a.share || a.label - b.label || a.predicted - b.predicted;
}

function countsOf(
  cells: readonly (readonly [number, number, number])[],
  classes: number,
): ConfusionCounts {
  return {
    classes,
    labels: Int32Array.from(cells, ([label]) => label),
    predictions: Int32Array.from(cells, ([, predicted]) => predicted),
    counts: Int32Array.from(cells, ([, , count]) => count),
  };
}

function checkClass(what: string, value: number, index: number, classes: number): void {
  if (Number.isInteger(value) && value >= 0 && value < classes) return;
  throw new RangeError(`${what} ${value} at ${index} is no class: classes are 0 to ${classes - 1}`);
}

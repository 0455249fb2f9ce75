/**
 * Precision, recall and F1 of each class, and their means.
 *
 * Definitions as in scikit-learn's `precision_recall_fscore_support` with `zero_division=0` over the classes that
 * have samples (van Rijsbergen 1979, "Information Retrieval"; Sokolova and Lapalme 2009, "A systematic analysis of
 * performance measures for classification tasks").
 *
 * @module
 */
import { type ConfusionCounts, predictedOf, recognizedOf, supportsOf } from "./confusion.ts";

/** Precision, recall and F1 of one class against all others. */
export interface ClassScores {
  /** Its name. */
  class: string;
  /** The share of right predictions among those of the class: TP / (TP + FP); 0 without any. */
  precision: number;
  /** The share of the class's samples that were recognized: TP / (TP + FN); NaN without samples. */
  recall: number;
  /** Harmonic mean of both: 2 TP / (2 TP + FP + FN); NaN when it has no samples. */
  f1: number;
  /** Samples of the class. */
  support: number;
  /** Samples that were predicted as the class. */
  predicted: number;
}

/** Means over the classes. */
export interface MeanScores {
  /** Mean of the classes' precisions. */
  precision: number;
  /** Mean of the classes' recalls. */
  recall: number;
  /** Mean of the classes' F1. */
  f1: number;
}

/**
 * The scores of each class.
 *
 * @param names Class names in the order of the matrix
 * @throws {RangeError} when there is not one name per class
 */
export function perClassScores(
  confusion: ConfusionCounts,
  names: readonly string[],
): ClassScores[] {
  if (confusion.classes !== names.length) {
    throw new RangeError(
      `The matrix has ${confusion.classes} classes but ${names.length} names: give one per class`,
    );
  }
  const [supports, takenFor] = [supportsOf(confusion), predictedOf(confusion)];
  const recognized = recognizedOf(confusion);
  return names.map((name, label) => {
    const [support, predicted] = [supports[label], takenFor[label]];
    const right = recognized[label];
    return {
      class: name,
      precision: predicted > 0 ? right / predicted : 0,
      recall: support > 0 ? right / support : NaN,
      f1: support > 0 ? 2 * right / (support + predicted) : NaN,
      support,
      predicted,
    };
  });
}

/** The plain mean over the classes that have samples; NaN when none has. */
export function macroMean(scores: readonly ClassScores[]): MeanScores {
  return meanBy(scores, () => 1);
}

/** The mean over the classes, each counted by its samples; NaN without samples. */
export function weightedMean(scores: readonly ClassScores[]): MeanScores {
  return meanBy(scores, ({ support }) => support);
}

function meanBy(
  scores: readonly ClassScores[],
  weightOf: (scores: ClassScores) => number,
): MeanScores {
  const present = scores.filter(({ support }) => support > 0);
  const total = present.reduce((sum, entry) => sum + weightOf(entry), 0);
  const mean = (key: keyof MeanScores) =>
    present.reduce((sum, entry) => sum + weightOf(entry) * entry[key], 0) / total;
  return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1") };
}

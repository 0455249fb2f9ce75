/**
 * All measures of a set of predictions together.
 *
 * @module
 */
import { type Calibration, calibration } from "./calibration.ts";
import {
  type ConfusionRecord,
  confusionRecord,
  countConfusions,
  overallAccuracy,
} from "./confusion.ts";
import {
  type ClassScores,
  macroMean,
  type MeanScores,
  perClassScores,
  weightedMean,
} from "./per_class.ts";
import { topKAccuracy } from "./top_k.ts";

/**
 * The number of classes from which on top-5 accuracy says something: of five, all are among the first five.
 */
const MIN_FOR_TOP_5 = 6;

/** A model's predictions for some samples. */
export interface RankedPredictions {
  /** [n], true classes. */
  readonly labels: ArrayLike<number>;
  /** Classes that are given per sample. */
  readonly width: number;
  /** [n, width], the most probable class first. */
  readonly ranked: ArrayLike<number>;
  /** [n, width], their probabilities. */
  readonly probabilities: ArrayLike<number>;
}

/** The measures. */
export interface ClassificationReport extends ConfusionRecord {
  /** Samples. */
  count: number;
  /** Share of the samples whose most probable class is the true one; NaN without samples. */
  accuracy: number;
  /** Share of the samples whose true class is among the five most probable ones; only with more than five classes. */
  top5?: number;
  /** The scores of the classes, in the order of the labels. */
  perClass: ClassScores[];
  /** Plain mean over the classes that have samples. */
  macro: MeanScores;
  /** Mean over the classes, each counted by its samples. */
  weighted: MeanScores;
  /** The agreement between the model's confidence and its accuracy. */
  calibration: Calibration;
}

/**
 * Measures predictions.
 *
 * @param names Class names in the order of the labels
 * @throws {RangeError} when lengths differ or a value is no class
 */
export function classificationReport(
  { labels, width, ranked, probabilities }: RankedPredictions,
  names: readonly string[],
): ClassificationReport {
  const count = labels.length;
  const first = Array.from({ length: count }, (_, row) => ranked[row * width]);
  const confidences = Array.from({ length: count }, (_, row) => probabilities[row * width]);
  const confusion = countConfusions(labels, first, names.length);
  const perClass = perClassScores(confusion, names);
  const hasTop5 = names.length >= MIN_FOR_TOP_5 && width >= 5;
  return {
    count,
    accuracy: overallAccuracy(confusion),
    ...(hasTop5 ? { top5: topKAccuracy(labels, ranked, { k: 5, width }) } : {}),
    perClass,
    macro: macroMean(perClass),
    weighted: weightedMean(perClass),
    ...confusionRecord(confusion),
    calibration: calibration(confidences, first.map((predicted, row) => predicted === labels[row])),
  };
}

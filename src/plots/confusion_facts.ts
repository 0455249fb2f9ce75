/**
 * The facts that a picture of a confusion matrix shows.
 *
 * @module
 */
import type { EvaluationRecord } from "../records/evaluation_file.ts";
import type { EvaluatedFacts } from "./evaluation_title.ts";

/** The part of an evaluation that a picture of its confusion matrix shows. */
export interface ConfusionFacts extends
  Pick<
    EvaluationRecord,
    "classes" | "confusionMatrix" | "confusions" | "accuracy" | "count"
  >,
  EvaluatedFacts {}

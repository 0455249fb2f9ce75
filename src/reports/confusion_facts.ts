/**
 * What a picture of a confusion matrix is made of.
 *
 * @module
 */
import type { EvaluationRecord } from "./evaluation_file.ts";

/** The part of an evaluation that a picture of its confusion matrix shows. */
export interface ConfusionFacts extends
  Pick<
    EvaluationRecord,
    "classes" | "confusionMatrix" | "confusions" | "accuracy" | "count"
  > {
  readonly model: Pick<EvaluationRecord["model"], "name" | "run">;
}

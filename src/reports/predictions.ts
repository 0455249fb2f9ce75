/**
 * What a run's best model makes of each validation picture, as `predictions.csv`.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/paths.ts";

/** A picture and what the model makes of it. */
export interface Prediction {
  /** Relative to the data's folder. */
  readonly path: string;
  /** Name of the class that it belongs to. */
  readonly trueClass: string;
  /** Name of the class that it is taken for. */
  readonly predictedClass: string;
  /** Probability of the predicted class, 0 … 1. */
  readonly confidence: number;
}

const FILE = "predictions.csv";
const HEADER = ["path", "true_class", "predicted_class", "confidence"];
const DIGITS = 6;

/** Writes `predictions.csv` (RFC 4180) into a run folder, replacing it as a whole. */
export async function writePredictions(
  folder: string,
  predictions: readonly Prediction[],
): Promise<void> {
  const rows = predictions.map(({ path, trueClass, predictedClass, confidence }) => [
    path,
    trueClass,
    predictedClass,
    confidence.toFixed(DIGITS),
  ]);
  const text = [HEADER, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");
  await writeFileAtomically(join(folder, FILE), text);
}

function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/**
 * The predictions of a run's best model for each validation image, as `predictions.csv`.
 *
 * @module
 */
import { join } from "node:path";
import Papa from "../deps/papaparse.ts";
import { csvText, readTextCell } from "../base/csv.ts";
import { LockstepError, reasonOf } from "../base/errors.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";

/** An image and what the model makes of it. */
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

/** Name of the file in a run folder. */
export const PREDICTIONS_FILE = "predictions.csv";

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
  await writeFileAtomically(
    join(folder, PREDICTIONS_FILE),
    `${csvText([HEADER, ...rows])}\r\n`,
  );
}

/**
 * Reads what {@linkcode writePredictions} wrote.
 *
 * @throws {LockstepError} when there is no such file, or it holds something else
 */
export async function readPredictions(folder: string): Promise<Prediction[]> {
  const file = join(folder, PREDICTIONS_FILE);
  let text: string;
  try {
    text = await readRegularText(file);
  } catch (error) {
    throw new LockstepError(`${file} can't be read: ${reasonOf(error)}`, { cause: error });
  }
  const { data: [header, ...rows], errors: [problem] } = Papa.parse<string[]>(text, {
    skipEmptyLines: true,
  });
  if (problem || header?.join() !== HEADER.join()) {
    const reason = problem?.message ?? `its first line isn't ${HEADER.join()}`;
    throw new LockstepError(`${file} holds no predictions: ${reason}`);
  }
  const odd = rows.findIndex((row) => row.length !== HEADER.length);
  if (odd >= 0) {
    const line = `its line ${odd + 2} has ${rows[odd].length} values instead of ${HEADER.length}`;
    throw new LockstepError(`${file} holds no predictions: ${line}`);
  }
  return rows.map(([path, trueClass, predictedClass, confidence]) => ({
    path: readTextCell(path),
    trueClass: readTextCell(trueClass),
    predictedClass: readTextCell(predictedClass),
    confidence: Number(confidence),
  }));
}

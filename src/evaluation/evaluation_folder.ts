/**
 * The files of an evaluation.
 *
 * @module
 */
import { join } from "node:path";
import type { BestEffort } from "../events/best_effort.ts";
import type { EvaluationRecord, ScoredImage } from "../records/evaluation_file.ts";
import {
  EVALUATION_FILE,
  writeEvaluation,
  writeScoredPictures,
} from "../records/evaluation_file.ts";
import { evaluationTitle } from "../plots/evaluation_title.ts";
import type { Tile } from "../plots/picture_grid.ts";
import { formatPercent } from "../base/format.ts";
import { makeLoaders } from "../train/job.ts";
import { tileOf } from "../preview/images.ts";
import type { PreparedEvaluation } from "./prepare_evaluation.ts";

const COLUMNS = 4;
/** Wide enough for two names. */
const MIN_SIDE = 200;
const MISTAKES = "mistakes.png";

/**
 * Writes the results of an evaluation. `evaluation.json` comes last, so that the other files belong to it.
 *
 * @param images With their positions in the set
 */
export async function writeEvaluationFolder(
  folder: string,
  record: EvaluationRecord,
  images: readonly (ScoredImage & { readonly index: number })[],
  prepared: PreparedEvaluation,
  effort: BestEffort,
): Promise<void> {
  const { writeConfusionPlot } = await import("../plots/confusion_plot.ts");
  const { writeReliabilityPlot } = await import("../plots/reliability_plot.ts");
  await removeFile(join(folder, EVALUATION_FILE)); // until the other files are of this evaluation
  await writeScoredPictures(folder, images);
  const again = "the measures are in evaluation.json";
  await effort.attempt("confusion.svg", () => writeConfusionPlot(folder, record), again);
  await effort.attempt("reliability.svg", () => writeReliabilityPlot(folder, record), again);
  const indices = new Map(images.map(({ path, index }) => [path, index]));
  await effort.attempt(
    MISTAKES,
    () => writeMistakes(folder, record, indices, prepared),
    again,
  );
  await writeEvaluation(folder, record);
}

/** The worst mistakes as the network saw them; an older image goes when there are none. */
async function writeMistakes(
  folder: string,
  record: EvaluationRecord,
  indices: ReadonlyMap<string, number>,
  { config, dataset: data }: PreparedEvaluation,
): Promise<void> {
  const { mistakes, count } = record;
  const path = join(folder, MISTAKES);
  const { val } = makeLoaders(data, config);
  const { onError } = config.data;
  const tiles: Tile[] = [];
  for (const { path: image, predictedClass, trueClass, probability } of mistakes) {
    // The probability first: a long name may be cut.
    const title = `${formatPercent(probability)} ${predictedClass} (true: ${trueClass})`;
    const place = { epoch: 0, seed: 0, title, onError };
    const tile = await tileOf(val, indices.get(image)!, place);
    if (tile) tiles.push({ ...tile, colour: "bad" });
  }
  if (tiles.length === 0) {
    return await removeFile(path);
  }
  const { writePictureGrid } = await import("../plots/picture_grid.ts");
  const which = tiles.length === 1 ? "the mistake" : `${tiles.length} mistakes, the surest first`;
  const { title, detail } = evaluationTitle(record);
  const heading = `${title} (${detail}): ${which} of ${count} images`;
  await writePictureGrid(path, tiles, { columns: COLUMNS, heading, leastSide: MIN_SIDE });
}

async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    const isGone = error instanceof Deno.errors.NotFound;
    if (!isGone) throw error;
  }
}

/**
 * The image grids of a run: the images that the network gets, and its predictions.
 *
 * @module
 */
import { join } from "node:path";
import { DataError } from "../data/codecs/data_error.ts";
import type { Loader } from "../data/loading/loader.ts";
import type { Tile } from "../plots/picture_grid.ts";
import { makeLoaders } from "../train/job.ts";
import { firstStep, type ShownData, tilesOf } from "./training_images.ts";

const MAX_BATCH_TILES = 16;
const BATCH_COLUMNS = 4;
const PREDICTIONS = 6;
const PREDICTION_COLUMNS = 3;

/**
 * Reads the first images of the first step of an epoch, as the network gets them.
 *
 * @returns Writes them as `batch.png` into a folder
 * @throws {DataError} for an image that can't be read, unless such are skipped: training would end with it too
 */
export async function readBatch(
  run: ShownData,
  epoch: number,
): Promise<(folder: string) => Promise<void>> {
  const rows = firstStep(run, epoch).slice(0, MAX_BATCH_TILES);
  const shown = await tilesOf(run, "train", epoch, rows);
  const tiles = shown.filter((tile) => tile !== undefined);
  const heading = `${run.config.name}: training batch, augmented (epoch ${epoch}, step 0)`;
  return async (folder) => {
    if (tiles.length === 0) return;
    const { writePictureGrid } = await import("../plots/picture_grid.ts");
    await writePictureGrid(join(folder, "batch.png"), tiles, { columns: BATCH_COLUMNS, heading });
  };
}

/**
 * Writes `predictions.png`: six validation images, evenly spread, with predicted and true class.
 *
 * @param predictions Predicted class by position in the validation set, -1 where there is none
 */
export async function writePredictionsPicture(
  folder: string,
  run: ShownData,
  epoch: number,
  predictions: Int32Array,
): Promise<void> {
  const { config, dataset: { val, classes } } = run;
  const scored = val.filter(({ index }) => predictions[index] >= 0);
  const count = Math.min(PREDICTIONS, scored.length);
  const chosen = Array.from(
    { length: count },
    (_, position) => scored[Math.floor((position + 0.5) * scored.length / count)],
  );
  const { onError } = config.data;
  const loader = makeLoaders(run.dataset, config).val;
  const tiles: Tile[] = [];
  for (const { index, label } of chosen) {
    const predicted = classes[predictions[index]];
    const right = predictions[index] === label;
    const title = right ? predicted : `${predicted} (true: ${classes[label]})`;
    const tile = await tileOf(loader, index, { epoch: 0, seed: 0, title, onError });
    if (tile) tiles.push({ ...tile, colour: right ? "good" : "bad" });
  }
  if (tiles.length === 0) return;
  const { writePictureGrid } = await import("../plots/picture_grid.ts");
  const heading = `${config.name}: predictions after epoch ${epoch}`;
  const path = join(folder, "predictions.png");
  await writePictureGrid(path, tiles, { columns: PREDICTION_COLUMNS, heading });
}

/** @returns Nothing for an image that can't be read, where such are skipped */
export async function tileOf(
  loader: Loader,
  index: number,
  { epoch, seed, title, onError }: {
    epoch: number;
    seed: number;
    title: string;
    onError: "fail" | "skip";
  },
): Promise<Tile | undefined> {
  try {
    const { width, height, data } = await loader.augmented(index, epoch, seed);
    return { width, height, rgb: data, title };
  } catch (error) {
    if (error instanceof DataError && onError === "skip") return undefined;
    throw error;
  }
}

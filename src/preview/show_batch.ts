/**
 * Shows the augmented images of the data, without a worker, a broker or a model.
 *
 * @module
 */
import { calledPath } from "../base/called_paths.ts";
import { UsageError } from "../base/errors.ts";
import type { List } from "../base/lazy_list.ts";
import { type LoadedConfig, withWorkers } from "../config/schema.ts";
import type { EpochStep } from "../data/loading/sampler.ts";
import { resizeRgb } from "../data/resizing/resize.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { soleProcessThreads } from "../engine/threads.ts";
import { ensureDataRoot } from "../provision/data_root.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { type Tile, writePictureGrid } from "../plots/picture_grid.ts";
import type { Reporter } from "../events/reporter.ts";
import { scanData } from "../train/job.ts";
import { type ShownData, tilesOf, trainingRows, validationRows } from "./training_images.ts";

/** The images to show, and their layout. */
export interface ShowOptions {
  /** Counted from 1. */
  readonly epoch: number;
  /** Images; fewer where there are not as many. */
  readonly count: number;
  /** Images per row. */
  readonly columns?: number;
  /** Validation images rather than those of training. */
  readonly val?: boolean;
  /** Show each image under the draws of so many epochs, beside the original. */
  readonly compareEpochs?: number;
  readonly reporter: Reporter;
  readonly verbose?: boolean;
}

/** Columns up to 16 images; more images make the grid as wide as it is high. */
const COLUMNS = 4;
/** Widest column, in pixels: long names of classes make it wider than small images. */
const ROOM_FOR_TITLES = 260;

/**
 * Writes the images as one labelled PNG.
 *
 * @param path PNG file, replaced as a whole
 * @throws {UsageError} when there is no image to show
 */
export async function showBatch(
  loaded: LoadedConfig,
  path: string,
  options: ShowOptions,
): Promise<void> {
  const { reporter, verbose = false, count, compareEpochs } = options;
  const config = withWorkers(loaded);
  const progress = (event: Parameters<Reporter["download"]>[0]) => reporter.download(event);
  const root = await ensureDataRoot(config.data, progress);
  const dataset = await scanData(root, config);
  using _source = dataset.source;
  const libraryPath = await ensureLibtensorflow(progress);
  const threads = soleProcessThreads();
  await openEngineOnCpu({ libraryPath, threads, verbose }); // it decodes
  const data: ShownData = { config, dataset };
  const { heading, tiles } = compareEpochs === undefined
    ? await grid(data, options)
    : await draws(data, compareEpochs, options);
  if (tiles.length === 0) {
    throw new UsageError(`None of the first ${count} images of ${calledPath(root)} can be read`);
  }
  const columns = compareEpochs === undefined
    ? options.columns ?? Math.max(COLUMNS, Math.ceil(Math.sqrt(count)))
    : compareEpochs + 1;
  await writePictureGrid(path, tiles, { columns, heading, roomForTitles: ROOM_FOR_TITLES });
}

/** Contents of a picture grid. */
interface Shown {
  readonly heading: string;
  readonly tiles: Tile[];
}

/** Images in the order in which they come; those of validation evenly spread, since they come class by class. */
async function grid(data: ShownData, { epoch, count, val = false }: ShowOptions): Promise<Shown> {
  const { config: { name } } = data;
  const rows = val
    ? spread(validationRows(data), count)
    : trainingRows(data, epoch).slice(0, count);
  const tiles = await tilesOf(data, val ? "val" : "train", epoch, rows);
  const last = rows.at(-1)?.step ?? 0;
  const steps = last === 0 ? "step 0" : `steps 0 to ${last}`;
  return {
    heading: val
      ? `${name}: validation images as the network gets them`
      : `${name}: training images as the network gets them (epoch ${epoch}, ${steps})`,
    tiles: tiles.filter((tile) => tile !== undefined),
  };
}

/** A row for each image: the original, then its augmented versions, epoch after epoch. */
async function draws(
  data: ShownData,
  epochs: number,
  { epoch: first, count }: ShowOptions,
): Promise<Shown> {
  const { config, dataset } = data;
  const chosen = trainingRows(data, first).slice(0, count).map(({ indices }) => indices[0]);
  const columns: (Tile | undefined)[][] = [];
  for (let epoch = first; epoch < first + epochs; epoch++) {
    const wanted = new Set(chosen);
    const rows = trainingRows(data, epoch).filter(({ indices: [index] }) => wanted.has(index));
    const byIndex = new Map(rows.map((row) => [row.indices[0], row]));
    const tiles = await tilesOf(data, "train", epoch, chosen.map((index) => byIndex.get(index)!));
    columns.push(tiles.map((tile) => tile && { ...tile, title: inEpoch(epoch, tile.title) }));
  }
  const tiles: Tile[] = [];
  for (const [row, index] of chosen.entries()) {
    const drawn = columns.map((column) => column[row]).filter((tile) => tile !== undefined);
    if (drawn.length < epochs) continue; // it, or what is mixed into it, can't be read
    const sample = dataset.train.at(index)!;
    const { data: rgb, ...size } = fitted(await dataset.source.read(sample), drawn[0]);
    tiles.push({ ...size, rgb, title: `original: ${dataset.classes[sample.label]}` }, ...drawn);
  }
  const until = epochs > 1 ? `epochs ${first} to ${first + epochs - 1}` : `epoch ${first}`;
  return { heading: `${config.name}: training images in ${until}`, tiles };
}

function inEpoch(epoch: number, title: string): string {
  return `epoch ${epoch}${title.includes("\n") ? "\n" : ": "}${title}`;
}

function spread(rows: List<EpochStep>, count: number): EpochStep[] {
  const shown = Math.min(count, rows.length);
  return Array.from(
    { length: shown },
    (_, position) => rows.at(Math.floor((position + 0.5) * rows.length / shown))!,
  );
}

/** An image made so small or large that it just fits into the frame. */
function fitted(
  image: Parameters<typeof resizeRgb>[0],
  frame: { width: number; height: number },
): ReturnType<typeof resizeRgb> {
  const scale = Math.min(frame.width / image.width, frame.height / image.height);
  const side = (length: number) => Math.max(1, Math.round(length * scale));
  return resizeRgb(image, side(image.width), side(image.height));
}

/**
 * `predict` from its inputs to lines, an image grid and explanations, while images are still coming.
 *
 * @module
 */
import { basename, join } from "node:path";
import { reasonOf, UsageError } from "../base/errors.ts";
import { findInputs } from "../data/datasets/image_inputs.ts";
import type { DeviceName } from "../engine/devices.ts";
import { soleProcessThreads } from "../engine/threads.ts";
import { progressUntil } from "../provision/progress.ts";
import { counted, formatPercent } from "../base/format.ts";
import { overlayHeat } from "../plots/heat_overlay.ts";
import type { Tile } from "../plots/picture_grid.ts";
import { type PredictionFormat, predictionLines } from "../terminal/prediction_lines.ts";
import type { Reporter } from "../events/reporter.ts";
import { NonFiniteOutputError } from "../metrics/check_scores.ts";
import { openSoleDevice } from "../inference/open_sole_device.ts";
import {
  type DetailedPrediction,
  predictInputs,
  type PredictOptions,
} from "../inference/predict.ts";
import {
  buildTrainedModel,
  findTrainedModel,
  type ModelSource,
} from "../inference/trained_model.ts";

/** The images to predict, and the form of the result. */
export interface PredictRequest
  extends ModelSource, Pick<PredictOptions, "maxBytes" | "timeoutMs"> {
  /** Files, folders, patterns, addresses, `-`. */
  readonly images: readonly string[];
  /** Classes per image. */
  readonly top: number;
  readonly format: PredictionFormat;
  /** The device to compute on (default `auto`). */
  readonly device?: DeviceName;
  /** The GPU to compute on, by its index or UUID; a free one unless given. */
  readonly devices?: readonly string[];
  /** Characters per line of a table. */
  readonly width: number;
  /** PNG file that gets the images with their classes. */
  readonly grid?: string;
  /** Folder that gets an explanation of each image. */
  readonly explain?: string;
}

/** The receivers of result lines and of news. */
export interface PredictOutlet {
  /**
   * Gets each line of the result at once. The next image waits for what it returns; where that is `false`, nobody
   * wants more lines, and the work ends unless it has other results.
   */
  readonly print: (line: string) => void | boolean | Promise<void | boolean>;
  readonly reporter: Reporter;
  readonly verbose?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Numbers of images with and without a prediction. */
export interface PredictedCounts {
  readonly predicted: number;
  readonly unread: number;
}

type Seen = Exclude<DetailedPrediction, { readonly error: string }>;

/** Images in a grid: all of them are kept in memory until it is drawn. */
const MAX_TILES = 100;
const GRID_COLUMNS = 5;
/** So many are drawn larger, with more room for names. */
const FEW_TILES = 20;
const MIN_SIDE = 200;
/** Characters of an image's name that an explanation's name keeps. */
const NAME_LENGTH = 60;

/**
 * Predicts images and writes each result as soon as it is there.
 *
 * @throws {UsageError} when the model can't be used, or nothing is named; images that can't be read are named by
 * warnings, and counted
 * @throws {LockstepError} at the end, when the network's output was NaN or infinite for some
 */
export async function predictImages(
  request: PredictRequest,
  { print, reporter, verbose = false, signal }: PredictOutlet,
): Promise<PredictedCounts> {
  const { images, top, format, width, grid, explain } = request;
  if (images.length === 0) {
    throw new UsageError(
      "Name images: files, folders, patterns such as 'photos/*.jpg', or addresses",
    );
  }
  const trained = await findTrainedModel(request);
  for (const note of trained.notes) reporter.info(note);
  if (explain !== undefined) await makeFolder(explain);
  const found = await findInputs(images);
  const { classes } = trained.info;
  const paths = found.inputs.map(({ name }) => name);
  const lines = predictionLines(format, {
    paths,
    classes,
    top: Math.min(top, classes.length),
    width,
  });
  const counts = { predicted: 0, unread: 0 };
  let isRead = true;
  const printAll = async (lines: readonly string[]) => {
    for (const line of lines) if (await print(line) === false) isRead = false;
  };
  const unread = async (path: string, error: string) => {
    counts.unread++;
    reporter.warn(`${path} can't be used: ${error}`);
    await printAll(lines.ofUnread({ path, error }));
  };
  for (const { name, reason } of found.problems) await unread(name, reason);
  if (paths.length === 0) return counts;

  await openSoleDevice(request, {
    progress: progressUntil(signal, (event) => reporter.download(event)),
    onWarning: (warning) => reporter.warn(warning),
    threads: soleProcessThreads(),
    verbose,
  });
  const model = await buildTrainedModel(trained);
  const tiles: Tile[] = [];
  let failure: NonFiniteOutputError | undefined;
  try {
    const options = { ...optionsOf(request), explain: explain !== undefined, signal };
    await printAll(lines.head);
    for await (const result of predictInputs(model, trained, found, options)) {
      if (!isRead && grid === undefined && explain === undefined) break;
      if ("error" in result) {
        await unread(result.path, result.error);
        continue;
      }
      counts.predicted++;
      const explanation = explain === undefined
        ? {}
        : { explanation: await writeExplanation(explain, result, counts.predicted) };
      const { path, predictions } = result;
      await printAll(lines.of({ path, predictions, ...explanation }));
      if (grid !== undefined && tiles.length < MAX_TILES) tiles.push(tileOf(result));
    }
  } catch (error) {
    if (!(error instanceof NonFiniteOutputError)) throw error;
    failure = error; // after the grid of those that went well
  } finally {
    model.dispose();
  }
  if (grid !== undefined) {
    await writeGrid(grid, tiles, counts.predicted, trained.info.model.name, reporter);
  }
  if (failure) throw failure;
  return counts;
}

function optionsOf({ top, maxBytes, timeoutMs }: PredictRequest): PredictOptions {
  return {
    top,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** @throws {UsageError} when there is something else than a folder, or it can't be made */
async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    const isFile = error instanceof Deno.errors.AlreadyExists ||
      error instanceof Deno.errors.NotADirectory;
    const reason = isFile ? "is not a folder" : `can't be written: ${reasonOf(error)}`;
    throw new UsageError(`--explain ${path} ${reason}: name a folder for the explanations`);
  }
}

function titleOf({ predictions: [first] }: Seen): string {
  return `${formatPercent(first.probability)} ${first.class}`; // a long name may be cut
}

function tileOf(result: Seen): Tile {
  const { width, height, data } = result.view;
  return { width, height, rgb: data, title: titleOf(result) };
}

/** Writes the image as the network saw it beside the map of the class; returns the file's path. */
async function writeExplanation(folder: string, result: Seen, number: number): Promise<string> {
  const { view, map, path } = result;
  const overlay = overlayHeat(view, map!);
  const { width, height } = view;
  const { writePictureGrid } = await import("../plots/picture_grid.ts");
  const name = basename(path).replaceAll(/[^\p{L}\p{N}._-]+/gu, "-").slice(-NAME_LENGTH);
  const file = join(folder, `${String(number).padStart(4, "0")}-${name}.png`);
  await writePictureGrid(file, [
    { width, height, rgb: view.data, title: basename(path) },
    { width, height, rgb: overlay.data, title: "Grad-CAM: yellow counts most" },
  ], { columns: 2, heading: titleOf(result), leastSide: MIN_SIDE });
  return file;
}

async function writeGrid(
  path: string,
  tiles: readonly Tile[],
  predicted: number,
  model: string,
  reporter: Reporter,
): Promise<void> {
  if (tiles.length === 0) {
    return reporter.warn(`No image could be read, so ${path} is not written`);
  }
  const { writePictureGrid } = await import("../plots/picture_grid.ts");
  const some = predicted > tiles.length ? `the first ${tiles.length} of ` : "";
  const heading = `${model}: ${some}${counted(predicted, "image")}`;
  const leastSide = tiles.length <= FEW_TILES ? { leastSide: MIN_SIDE } : {};
  await writePictureGrid(path, tiles, { columns: GRID_COLUMNS, heading, ...leastSide });
}

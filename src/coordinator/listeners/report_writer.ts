/**
 * The report of a run in progress: written after epochs when that is cheap, and at the end.
 *
 * @module
 */
import { join } from "node:path";
import { shownPath } from "../../base/file_path.ts";
import { exists } from "../../base/paths.ts";
import { shellWord } from "../../base/shell.ts";
import { DataError } from "../../data/codecs/data_error.ts";
import type { Loader } from "../../data/loading/loader.ts";
import type { History } from "../../records/history.ts";
import { writeCurves } from "../../plots/curves.ts";
import { writeLossCurve } from "../../plots/loss_curve.ts";
import { type Prediction, PREDICTIONS_FILE, readPredictions } from "../../records/predictions.ts";
import type { BestEffort } from "../../events/best_effort.ts";
import type { RunEvent, RunEvents, RunListener } from "../../events/run_events.ts";
import {
  MAX_PICTURES,
  type PredictedPicture,
  readReportPictures,
  type ReportPictures,
  saveReportPictures,
} from "../../report/report_pictures.ts";
import type { Thumbnail } from "../../report/thumbnail.ts";
import { makeLoaders } from "../../train/job.ts";
import type { PreparedRun } from "../preparation/prepare.ts";
import { TimeShare } from "./time_share.ts";
import { firstStep, imagesOf, type ShownData } from "../../preview/training_images.ts";

/** Share of the run's time that reports before the last may take. */
const REPORT_SHARE = 0.02;
/** Share that curves may take: in a long run they aren't drawn after each epoch. */
const CURVES_SHARE = 0.05;

/** Draws the curves and writes `report.html`. A file that can't be written is a warning: the run continues. */
export class ReportWriter implements RunListener {
  readonly name = "The report";
  readonly #run: PreparedRun;
  readonly #folder: string;
  readonly #history: History;
  readonly #effort: BestEffort;
  readonly #events: Pick<RunEvents, "emit">;
  readonly #reportTime = new TimeShare(REPORT_SHARE);
  readonly #curvesTime = new TimeShare(CURVES_SHARE);
  /** The last report of this session, once it is written. */
  path: string | undefined;
  /** Number of epochs and points in the curves. */
  #drawn = "";

  constructor(
    { run, folder, history, effort, events }: {
      run: PreparedRun;
      folder: string;
      history: History;
      effort: BestEffort;
      events: Pick<RunEvents, "emit">;
    },
  ) {
    this.#run = run;
    this.#folder = folder;
    this.#history = history;
    this.#effort = effort;
    this.#events = events;
  }

  async hear(event: RunEvent): Promise<void> {
    if (event.type === "epoch") await this.#afterEpoch();
    const finished = event.type === "finished";
    if (finished || event.type === "interrupted" || event.type === "failed") {
      this.path = await this.#atEnd({ images: finished });
      if (this.path !== undefined) this.#events.emit({ type: "report", finished });
    }
  }

  /** Draws the curves and writes the report, each unless it has used up its share of the time. */
  async #afterEpoch(): Promise<void> {
    await this.#curvesTime.spend(() => this.#drawCurves());
    await this.#reportTime.spend(() => this.#write());
  }

  /**
   * Draws the last curves and writes the last report of this session.
   *
   * @param images Also make the thumbnails, if the existing ones belong to other weights
   * @returns The report's path; `undefined` when the report couldn't be written
   */
  async #atEnd({ images }: { images: boolean }): Promise<string | undefined> {
    await this.#drawCurves();
    return await this.#write(images);
  }

  /** Draws the curves, unless they are up to date. */
  async #drawCurves(): Promise<void> {
    const { epochs, losses, validations } = this.#history;
    const state = [epochs.length, losses.length, validations.length].join(" ");
    if (epochs.length === 0 || state === this.#drawn) return;
    this.#drawn = state;
    await this.#effort.attempt("curves.svg", () => writeCurves(this.#folder, this.#history));
    await this.#effort.attempt("losses.svg", () => writeLossCurve(this.#folder, this.#history));
  }

  async #write(images = false): Promise<string | undefined> {
    return await this.#effort.attempt("The report", async () => {
      if (images) await makeImages(this.#folder, this.#run, this.#history);
      const { writeReport } = await import("../../report/report.ts");
      return await writeReport(this.#folder, { history: this.#history });
    }, `try again with deno task report ${shellWord(shownPath(this.#folder))}`);
  }
}

/** Writes `report_pictures.json`, unless it exists for the best weights. */
async function makeImages(folder: string, run: PreparedRun, history: History): Promise<void> {
  const { epoch } = history.best;
  if (epoch === 0 || !await exists(join(folder, PREDICTIONS_FILE))) return;
  const there = await readReportPictures(folder).catch(() => undefined); // then they are made again
  if (there?.epoch === epoch && there.batchAsTrained) return;
  const predictions = await readPredictions(folder);
  const wrong = predictions.filter((each) => each.trueClass !== each.predictedClass);
  const worst = wrong.toSorted((a, b) => b.confidence - a.confidence);
  const count = Math.min(MAX_PICTURES.samples, predictions.length);
  const spread = Array.from(
    { length: count },
    (_, position) => predictions[Math.floor((position + 0.5) * predictions.length / count)],
  );
  await saveReportPictures(folder, {
    epoch,
    samples: await predictedImages(run, spread),
    mistakes: await predictedImages(run, worst.slice(0, MAX_PICTURES.mistakes)),
    batchAsTrained: true,
    batch: await batchImages(run),
  });
}

async function predictedImages(
  run: PreparedRun,
  predictions: readonly Prediction[],
): Promise<PredictedPicture[]> {
  const { val } = makeLoaders(run.dataset, run.config);
  const indices = new Map(run.dataset.val.map(({ path, index }) => [path, index]));
  const images: PredictedPicture[] = [];
  for (const prediction of predictions) {
    const index = indices.get(prediction.path);
    const image = index === undefined ? undefined : await imageOf(val, index);
    const confidence = Number.isFinite(prediction.confidence) ? prediction.confidence : null;
    if (image) images.push({ ...prediction, confidence, ...image });
  }
  return images;
}

/**
 * The first images of the run's first step, augmented and mixed as the workers received them, those of rank 0
 * first.
 *
 * @returns Fewer images when some can't be read any more: the run that the report describes is over
 */
export async function batchImages(run: ShownData): Promise<ReportPictures["batch"]> {
  const { thumbnail } = await import("../../report/thumbnail.ts");
  const rows = firstStep(run, 1);
  const images: ReportPictures["batch"] = [];
  for (const row of rows.slice(0, MAX_PICTURES.batch)) {
    const image = await readable(async () => (await imagesOf(run, "train", 1, [row]))[0]);
    if (!image) continue;
    const { class: own, mixed } = image;
    images.push({ class: own, ...(mixed ? { mixed } : {}), ...await thumbnail(image) });
  }
  return images;
}

/** @returns `undefined` for an image that can't be read any more: the run that the report describes is over */
async function imageOf(loader: Loader, index: number): Promise<Thumbnail | undefined> {
  const { thumbnail } = await import("../../report/thumbnail.ts");
  const image = await readable(() => loader.augmented(index, 0, 0));
  return image && await thumbnail({ ...image, rgb: image.data });
}

async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

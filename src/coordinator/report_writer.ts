/**
 * The report of a run in progress: written after epochs as far as that is cheap, and at the end.
 *
 * @module
 */
import { join } from "node:path";
import { globalBatchSize } from "../config/checks.ts";
import { exists } from "../base/paths.ts";
import { DataError } from "../data/data_error.ts";
import type { Loader } from "../data/loader.ts";
import { planEpoch } from "../data/sampler.ts";
import type { History } from "../records/history.ts";
import { writeCurves } from "../reports/curves.ts";
import { writeLossCurve } from "../reports/loss_curve.ts";
import { type Prediction, PREDICTIONS_FILE, readPredictions } from "../reports/predictions.ts";
import type { BestEffort } from "../reports/best_effort.ts";
import {
  MOST_PICTURES,
  type PredictedPicture,
  readReportPictures,
  type ReportPictures,
  saveReportPictures,
} from "../reports/report/report_pictures.ts";
import type { Thumbnail } from "../reports/report/thumbnail.ts";
import { makeLoaders } from "../train/job.ts";
import type { PreparedRun } from "./prepare.ts";
import { TimeShare } from "./time_share.ts";

/** Share of the run's time that reports before the last may take. */
const REPORT_SHARE = 0.02;
/** Share that curves may take: in a long run they aren't drawn after each epoch. */
const CURVES_SHARE = 0.05;

/** Draws the curves and writes `report.html`. What can't be written is a warning: a run doesn't fail for it. */
export class ReportWriter {
  readonly #run: PreparedRun;
  readonly #folder: string;
  readonly #history: History;
  readonly #effort: BestEffort;
  readonly #reportTime = new TimeShare(REPORT_SHARE);
  readonly #curvesTime = new TimeShare(CURVES_SHARE);
  /** Epochs and points that the curves show. */
  #drawn = "";

  constructor(
    { run, folder, history, effort }: {
      run: PreparedRun;
      folder: string;
      history: History;
      effort: BestEffort;
    },
  ) {
    this.#run = run;
    this.#folder = folder;
    this.#history = history;
    this.#effort = effort;
  }

  /** Draws and writes what stands, each unless it has taken more than its share of the time. */
  async afterEpoch(): Promise<void> {
    await this.#curvesTime.spend(() => this.#drawCurves());
    await this.#reportTime.spend(() => this.#write());
  }

  /**
   * Draws the last curves and writes the last report of this session.
   *
   * @param pictures Make the small pictures too, where those there are of other weights
   * @returns Its path, or nothing when it couldn't be written
   */
  async atEnd({ pictures }: { pictures: boolean }): Promise<string | undefined> {
    await this.#drawCurves();
    return await this.#write(pictures);
  }

  /** Draws the curves, unless they show everything already. */
  async #drawCurves(): Promise<void> {
    const { epochs, losses, validations } = this.#history;
    const state = [epochs.length, losses.length, validations.length].join(" ");
    if (epochs.length === 0 || state === this.#drawn) return;
    this.#drawn = state;
    await this.#effort.attempt("curves.svg", () => writeCurves(this.#folder, this.#history));
    await this.#effort.attempt("losses.svg", () => writeLossCurve(this.#folder, this.#history));
  }

  async #write(pictures = false): Promise<string | undefined> {
    return await this.#effort.attempt("The report", async () => {
      if (pictures) await makePictures(this.#folder, this.#run, this.#history);
      const { writeReport } = await import("../reports/report/report.ts");
      return await writeReport(this.#folder, { history: this.#history });
    }, `try again with deno task report ${this.#folder}`);
  }
}

/** Writes `report_pictures.json`, unless it is there for the best weights. */
async function makePictures(folder: string, run: PreparedRun, history: History): Promise<void> {
  const { epoch } = history.best;
  if (epoch === 0 || !await exists(join(folder, PREDICTIONS_FILE))) return;
  const there = await readReportPictures(folder).catch(() => undefined); // then they are made again
  if (there?.epoch === epoch) return;
  const predictions = await readPredictions(folder);
  const wrong = predictions.filter((each) => each.trueClass !== each.predictedClass);
  const worst = wrong.toSorted((a, b) => b.confidence - a.confidence);
  const count = Math.min(MOST_PICTURES.samples, predictions.length);
  const spread = Array.from(
    { length: count },
    (_, position) => predictions[Math.floor((position + 0.5) * predictions.length / count)],
  );
  await saveReportPictures(folder, {
    epoch,
    samples: await predictedPictures(run, spread),
    mistakes: await predictedPictures(run, worst.slice(0, MOST_PICTURES.mistakes)),
    batch: await batchPictures(run),
  });
}

async function predictedPictures(
  run: PreparedRun,
  predictions: readonly Prediction[],
): Promise<PredictedPicture[]> {
  const { val } = makeLoaders(run.folder, run.config);
  const indices = new Map(run.folder.val.map(({ path, index }) => [path, index]));
  const pictures: PredictedPicture[] = [];
  for (const prediction of predictions) {
    const index = indices.get(prediction.path);
    const picture = index === undefined ? undefined : await pictureOf(val, index, 0, 0);
    const confidence = Number.isFinite(prediction.confidence) ? prediction.confidence : null;
    if (picture) pictures.push({ ...prediction, confidence, ...picture });
  }
  return pictures;
}

/** The first pictures of the first step, as the network gets them. */
async function batchPictures({ config, folder }: PreparedRun): Promise<ReportPictures["batch"]> {
  const { seed } = config;
  const [first] = planEpoch({
    length: folder.train.length,
    globalBatch: globalBatchSize(config),
    dropLast: config.train.dropLast,
    rank: 0,
    worldSize: 1,
    seed,
    epoch: 1,
    shuffle: true,
  });
  const { train } = makeLoaders(folder, config);
  const pictures: ReportPictures["batch"] = [];
  for (const index of first.indices.subarray(0, MOST_PICTURES.batch)) {
    const picture = await pictureOf(train, index, 1, seed);
    if (picture) pictures.push({ class: folder.classes[folder.train[index].label], ...picture });
  }
  return pictures;
}

/** @returns Nothing for a picture that can't be read any more: the report is of a run that is over */
async function pictureOf(
  loader: Loader,
  index: number,
  epoch: number,
  seed: number,
): Promise<Thumbnail | undefined> {
  const { thumbnail } = await import("../reports/report/thumbnail.ts");
  try {
    const { width, height, data } = await loader.augmented(index, epoch, seed);
    return await thumbnail({ width, height, rgb: data });
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

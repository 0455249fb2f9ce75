/**
 * The record of an epoch: best weights, history, predictions.
 *
 * @module
 */
import { join } from "node:path";
import { confusionRecord, perClassAccuracy } from "../metrics/confusion.ts";
import { isBetter, type Monitor, monitored } from "../metrics/monitor.ts";
import { exists } from "../base/paths.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { writePredictionsPicture } from "../preview/images.ts";
import { type EpochRecord, type History, HISTORY_FILE } from "../records/history.ts";
import { type Prediction, writePredictions } from "../records/predictions.ts";
import type { Validated } from "./epochs/drive_validation.ts";
import type { PreparedRun } from "./preparation/prepare.ts";
import { isMultiple, type RunContext } from "./run_context.ts";
import { type Position, pruneEpochs, saveWeights } from "./state/run_state.ts";

/** Records an epoch: first checkpoints and history, then the events for the listeners. */
export async function recordEpoch(
  context: RunContext,
  position: Position,
  validated: Validated,
  record: EpochRecord,
): Promise<void> {
  const { run, folder, history, events, saved } = context;
  const { config, dataset: { classes } } = run;
  const { epoch, validation: { accuracy } } = record;
  history.epochs.push(record);
  const { monitor, mode, everyEpochs, keep } = config.checkpoint;
  const save = (name: string, prune = () => Promise.resolve()) =>
    saved.attempt(`checkpoints/${name}`, `epoch ${epoch}`, async () => {
      await saveWeights(folder, run, { name, position, accuracy });
      await prune();
    });
  // The history names as best the epoch that is in `checkpoints/best`.
  const best = isBestEpoch({ metric: monitor, ...(mode ? { mode } : {}) }, history, record) &&
    await save("best");
  if (best) {
    history.best = {
      epoch,
      accuracy,
      classes,
      perClassAccuracy: perClassAccuracy(validated.confusion, classes),
      ...confusionRecord(validated.confusion),
    };
    await showBest(context, validated, epoch);
  }
  if (isMultiple(epoch, everyEpochs)) {
    await save(`epoch-${epoch}`, () => pruneEpochs(folder, keep));
  }
  events.emit({ type: "epochEnded", record });
  await saved.attempt(HISTORY_FILE, `epoch ${epoch}`, () => context.record.save(history));
  events.emit({ type: "epoch", record, epochs: config.train.epochs, best });
  await events.settled();
}

/** Writes and draws the predictions of the best weights for the validation set. */
async function showBest(
  { run, folder, events, effort }: RunContext,
  validated: Validated,
  epoch: number,
): Promise<void> {
  await effort.attempt(
    "predictions.csv",
    () => writePredictions(folder, predictionsOf(run, validated)),
  );
  const step = epoch * run.plan.stepsPerEpoch;
  await effort.attempt("predictions.png", async () => {
    await writePredictionsPicture(folder, run, epoch, validated.predictions);
    events.emit({
      type: "picture",
      name: "predictions",
      step,
      draw: pictureIn(folder, "predictions"),
    });
    await events.settled();
  });
  const draw = once(() =>
    effort.attempt(
      "The picture of the confusion matrix",
      () => drawConfusion(validated, run, epoch),
    )
  );
  events.emit({ type: "picture", name: "confusion", step, draw });
  await events.settled();
}

/** Reads a plot of the run folder, `<name>.png`, when it is requested; returns nothing if the file is missing. */
export function pictureIn(
  folder: string,
  name: string,
): () => Promise<Uint8Array<ArrayBuffer> | undefined> {
  return once(async () => {
    const path = join(folder, `${name}.png`);
    return await exists(path) ? await readRegularFile(path) : undefined; // none of its images could be read
  });
}

/** Runs a function at the first call and returns its result at every call. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}

/** The confusion matrix of an epoch, for loggers that show images. */
async function drawConfusion(
  { confusion, accuracy, count }: Validated,
  { config, dataset: { classes } }: PreparedRun,
  epoch: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { confusionAsPng } = await import("../plots/confusion_plot.ts");
  return await confusionAsPng({
    model: { name: config.model.name, runName: config.name, epoch },
    data: { split: "val" },
    classes,
    ...confusionRecord(confusion),
    accuracy,
    count,
  });
}

/** Tells whether an epoch is the best so far. The first epoch is the best if its monitored value is finite. */
function isBestEpoch(monitor: Monitor, { best, epochs }: History, record: EpochRecord): boolean {
  const before = epochs.find(({ epoch }) => epoch === best.epoch);
  return isBetter(monitor, monitored(monitor, record), before ? monitored(monitor, before) : NaN);
}

/** Returns the model's prediction for each validation image that could be read. */
function predictionsOf(
  { dataset: { val, classes } }: PreparedRun,
  { samples }: Validated,
): Prediction[] {
  return val.flatMap(({ index, label, path }) => {
    const scores = samples[index];
    if (!scores) return [];
    return [{
      path,
      trueClass: classes[label],
      predictedClass: classes[scores.ranked[0]],
      confidence: scores.probabilities[0],
    }];
  });
}

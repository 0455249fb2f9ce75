/**
 * Time and peak memory of what a run draws, logs and writes, with many classes, epochs and skipped images:
 * `deno run -A scripts/bench_limits.ts [PART…]`. Each part is a process of its own.
 *
 * @module
 */
import { join } from "node:path";
import { Image } from "imagescript";
import { randomStream } from "../src/base/random.ts";
import { SkippedImages } from "../src/coordinator/epochs/skipped_images.ts";
import { checkFiles } from "../src/data/datasets/check_files.ts";
import { scanImageFolder } from "../src/data/datasets/image_folder.ts";
import { checkData, DEFAULT_NEAR_DISTANCE } from "../src/data_check/check_data.ts";
import { completeDataCheck } from "../src/data_check/record.ts";
import { dataCheckLines } from "../src/data_check/data_check_lines.ts";
import { writeDataCheckFiles } from "../src/data_check/write_files.ts";
import { type PredictionFormat, predictionLines } from "../src/terminal/prediction_lines.ts";
import { standardStream } from "../src/terminal/terminal_stream.ts";
import { RunList } from "../src/dashboard/run_list.ts";
import { openTensorBoard } from "../src/loggers/tensorboard.ts";
import { confusionRecord, countConfusions, overallAccuracy } from "../src/metrics/confusion.ts";
import { classificationReport } from "../src/metrics/report.ts";
import { EventLog } from "../src/records/event_log.ts";
import { type History, readHistory, writeHistory } from "../src/records/history.ts";
import { HistoryWriter } from "../src/records/history_writer.ts";
import { MetricsLog } from "../src/records/metrics_log.ts";
import { confusionAsPng, writeConfusionPlot } from "../src/plots/confusion_plot.ts";
import { writeCurves } from "../src/plots/curves.ts";
import { completeRecord, writeEvaluation } from "../src/records/evaluation_file.ts";
import { evaluationLines } from "../src/terminal/evaluation_lines.ts";
import { writeLossCurve } from "../src/plots/loss_curve.ts";
import { writePredictions } from "../src/records/predictions.ts";
import { writeReport } from "../src/report/report.ts";
import { succeeds } from "./children.ts";
import { addMadeEpoch } from "../tests/support/made_history.ts";

const EPOCHS = 10_000;
const POINTS = 20;
const SAMPLES = 100_000;
const SKIPPED = 100_000;
const PREDICTED = 100;

const namesOf = (classes: number) =>
  Array.from({ length: classes }, (_, index) => `class_${index}`);

/** Labels and guesses of which 7 in 10 are right and the others anything, the same each time. */
function guessesOf(classes: number) {
  const random = randomStream("limits", classes);
  const labels = Int32Array.from({ length: SAMPLES }, (_, index) => index % classes);
  const guesses = labels.map((label) => random() < 0.7 ? label : Math.floor(random() * classes));
  return { labels, guesses };
}

function evaluationOf(classes: number) {
  const { labels, guesses } = guessesOf(classes);
  const names = namesOf(classes);
  const report = classificationReport({
    labels,
    width: 1,
    ranked: guesses,
    probabilities: new Float32Array(SAMPLES).fill(0.5),
  }, names);
  const { count, ...measures } = report;
  return completeRecord({
    model: { name: "resnet18", run: "limits", checkpoint: "runs/limits/checkpoints/best" },
    data: { root: "images", split: "val", pictures: count, fingerprint: "0" },
    workers: 1,
    seconds: 1,
    classes: names,
    count,
    loss: 1,
    ...measures,
    mistakes: [],
    skipped: Array.from(
      { length: SKIPPED },
      (_, index) => ({ path: `${index}.jpg`, reason: "empty" }),
    ),
  }, "0.0.0");
}

function addEpoch(history: History): void {
  const accuracy = (history.epochs.length + 1) / (2 * EPOCHS);
  addMadeEpoch(history, { accuracy, points: POINTS, count: SAMPLES });
}

function historyOf(classes: number, epochs: number): History {
  const { labels, guesses } = guessesOf(classes);
  const confusion = countConfusions(labels, guesses, classes);
  const accuracy = overallAccuracy(confusion);
  const history: History = {
    config: { name: "limits" },
    epochs: [],
    losses: [],
    validations: [],
    best: { epoch: 1, accuracy, classes: namesOf(classes), ...confusionRecord(confusion) },
    workers: 2,
  };
  for (let epoch = 1; epoch <= epochs; epoch++) addEpoch(history);
  return history;
}

/** The logs of a run of 10,000 epochs in which 100,000 images were skipped. */
async function writeLogs(folder: string): Promise<void> {
  await Deno.writeTextFile(join(folder, "config.yaml"), "name: limits\n");
  using events = new EventLog(folder);
  events.append("started", { epoch: 1, step: 0 });
  for (let index = 0; index < SKIPPED; index++) {
    events.append("skipped", {
      path: `train/${index}.jpg`,
      reason: "no image: the file is empty",
    });
  }
  using metrics = await MetricsLog.open(folder, { epoch: 1, step: 0 });
  const ms = { data: 1, forwardBackward: 5, exchange: 1, update: 1 };
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    events.append("epoch", { epoch, seconds: 1, validation: { loss: 1, accuracy: 0.5, count: 9 } });
    for (let step = 1; step <= POINTS; step++) {
      metrics.append({
        time: new Date().toISOString(),
        epoch,
        step,
        examples: 100 * epoch,
        loss: 1,
        accuracy: 0.5,
        learningRate: 0.1,
        imagesPerSecond: 100,
        ms: { ...ms, idle: 0, total: 8 },
        ranks: [0, 1].map((rank) => ({ rank, samples: 5, imagesPerSecond: 50, ms })),
      });
    }
  }
}

/** A folder with an image of each class on each side, all different, and files that are none. */
async function writeImages(root: string, classes: number, broken: number): Promise<void> {
  const size = 16;
  for (let index = 0; index < classes; index++) {
    const image = new Image(size, size);
    const random = randomStream("images", index);
    for (let at = 0; at < size * size; at++) {
      image.bitmap.set([255 * random(), 255 * random(), 255 * random(), 255], 4 * at);
    }
    const png = await image.encode();
    for (const side of ["train", "val"]) {
      const folder = join(root, side, `class_${index}`);
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeFile(join(folder, "0.png"), png);
    }
  }
  for (let index = 0; index < broken; index++) {
    await Deno.writeTextFile(join(root, "train", `class_${index % classes}`, `b${index}.jpg`), "");
  }
}

/** Does the work of `data check`, without its output. */
async function checkImages(root: string, out: string): Promise<void> {
  const folders = { trainFolder: "train", valFolder: "val" };
  const options = { data: root, root, ...folders, nearDistance: DEFAULT_NEAR_DISTANCE };
  const { facts, pairs } = await checkData(options);
  const record = completeDataCheck(facts, "0.0.0");
  await writeDataCheckFiles(out, record, pairs);
  dataCheckLines(record, standardStream("stdout"), 100);
}

/** Makes all lines of {@linkcode PREDICTED} images' predictions, each with the first `top` classes. */
function predictAll(format: PredictionFormat, classes: number, top: number): Promise<void> {
  const names = namesOf(classes);
  const predictions = names.slice(0, top).map((name) => ({
    class: name,
    probability: 1 / classes,
  }));
  const paths = Array.from({ length: PREDICTED }, (_, index) => `${index}.jpg`);
  const lines = predictionLines(format, { paths, classes: names, top, width: 100 });
  let characters = lines.head.join("").length;
  for (const path of paths) characters += lines.of({ path, predictions }).join("").length;
  if (characters === 0) throw new Error("nothing was written");
  return Promise.resolve();
}

/** Prepares, and returns what is measured. */
type Part = (folder: string) => Promise<() => Promise<unknown>> | (() => Promise<unknown>);

const perClasses = (make: (classes: number) => Part, what: string): Record<string, Part> =>
  Object.fromEntries(
    [1000, 21_000].map((
      classes,
    ) => [`${what}, ${classes.toLocaleString("en")} classes`, make(classes)]),
  );

const PARTS: Record<string, Part> = {
  ...perClasses((classes) => (folder) => {
    const record = evaluationOf(classes);
    return () => writeConfusionPlot(folder, record);
  }, "confusion.svg and .png"),
  ...perClasses((classes) => (folder) => {
    const record = evaluationOf(classes);
    const { labels, guesses } = guessesOf(classes);
    return async () => {
      const measured = countConfusions(labels, guesses, classes);
      const start = { folder, config: {}, classes: record.classes, stepsPerEpoch: 1, step: 0 };
      const logger = await openTensorBoard(start);
      logger.picture?.(
        "confusion",
        await confusionAsPng({ ...record, ...confusionRecord(measured) }),
        1,
      );
      logger.close?.();
    };
  }, "matrix counted and drawn for TensorBoard"),
  ...perClasses((classes) => (folder) => {
    const history = historyOf(classes, 1);
    return async () => {
      await writeHistory(folder, history);
      await readHistory(folder);
    };
  }, "history.json written and read"),
  ...perClasses((classes) => (folder) => {
    const record = evaluationOf(classes);
    return async () => {
      await writeEvaluation(folder, record);
      return evaluationLines(record, 100);
    };
  }, "evaluation.json and its tables"),
  ...perClasses((classes) => async (folder) => {
    await writeLogs(folder);
    const history = historyOf(classes, EPOCHS);
    return () => writeReport(folder, { history });
  }, "report.html of 10,000 epochs, 100,000 skipped"),
  "history of 10,000 epochs, saved after each": (folder) => async () => {
    const history = historyOf(10, 0);
    using writer = new HistoryWriter(folder, async (_, action) => await action());
    for (let epoch = 1; epoch <= EPOCHS; epoch++) {
      addEpoch(history);
      await writer.save(history);
    }
    await writer.finish(history);
  },
  "curves and losses of 10,000 epochs": (folder) => {
    const history = historyOf(10, EPOCHS);
    return async () => {
      await writeCurves(folder, history);
      await writeLossCurve(folder, history);
    };
  },
  "predictions.csv of 100,000 images": (folder) => {
    const predictions = Array.from({ length: SAMPLES }, (_, index) => ({
      path: `val/${index}.jpg`,
      trueClass: "a",
      predictedClass: "b",
      confidence: 0.5,
    }));
    return () => writePredictions(folder, predictions);
  },
  "100,000 skipped images in each of 10 epochs": (folder) => {
    const skipped = Array.from(
      { length: SKIPPED },
      (_, index) => ({ path: `${index}`, reason: "empty" }),
    );
    return () => {
      using events = new EventLog(folder);
      const images = new SkippedImages({
        warn: () => {},
        skipped: (image) => events.append("skipped", { ...image }),
      });
      for (let epoch = 0; epoch < 10; epoch++) images.report(skipped);
      return Promise.resolve();
    };
  },
  ...Object.fromEntries(
    ([["csv", 21_000], ["json", 21_000], ["table", 21_000], ["csv", 5]] as const).map((
      [format, top],
    ) => [
      `predictions of 100 images as ${format}, ${top.toLocaleString("en")} of 21,000 classes`,
      () => () => predictAll(format, 21_000, top),
    ]),
  ),
  "files of 21,000 classes scanned and looked at before a run": async (folder) => {
    await writeImages(folder, 21_000, SKIPPED);
    return async () => {
      const set = await scanImageFolder(folder);
      await checkFiles(set, { onError: "skip" });
    };
  },
  ...Object.fromEntries(
    ([[1000, 0], [21_000, SKIPPED]] as const).map(([classes, broken]) => [
      `data check of ${classes.toLocaleString("en")} classes, ${
        broken.toLocaleString("en")
      } broken`,
      async (folder: string) => {
        await writeImages(join(folder, "images"), classes, broken);
        return () => checkImages(join(folder, "images"), folder);
      },
    ]),
  ),
  "list of runs, 100 times, 10,000 epochs": async (folder) => {
    const run = join(folder, "run");
    await Deno.mkdir(run);
    await writeLogs(run);
    const list = new RunList(folder);
    return async () => {
      for (let turn = 0; turn < 100; turn++) await list.all();
    };
  },
};

async function runPart(name: string): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const action = await PARTS[name](folder);
    const before = Deno.memoryUsage().rss;
    const start = performance.now();
    await action();
    const seconds = (performance.now() - start) / 1000;
    const status = await Deno.readTextFile("/proc/self/status");
    const peak = Number(/VmHWM:\s+(\d+)/.exec(status)![1]) * 1024;
    let bytes = 0;
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile) bytes = Math.max(bytes, (await Deno.stat(join(folder, name))).size);
    }
    const mb = (count: number) => (count / 1e6).toFixed(count < 1e7 ? 1 : 0);
    console.log(`| ${name} | ${seconds.toFixed(2)} | ${mb(before)} | ${mb(peak)} | ${mb(bytes)} |`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const [first, second] = Deno.args;
if (first === "--part") await runPart(second);
else {
  console.log("| part | seconds | MB before | MB at most | largest file, MB |");
  console.log("| --- | --- | --- | --- | --- |");
  for (const name of Object.keys(PARTS)) {
    if (Deno.args.length > 0 && !Deno.args.some((word) => name.includes(word))) continue;
    const args = ["run", "-A", import.meta.filename!, "--part", name];
    const success = await succeeds(Deno.execPath(), { args });
    if (!success) console.log(`| ${name} | failed | | | |`);
  }
}

/**
 * Folders of finished runs, made up without training, by the writers that runs use.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { validateConfig } from "../../src/config/load.ts";
import {
  confusionRecord,
  countConfusions,
  overallAccuracy,
  perClassAccuracy,
} from "../../src/metrics/confusion.ts";
import { EventLog } from "../../src/records/event_log.ts";
import {
  type History,
  writeHistory,
  writeHistoryTable,
  writeLossTable,
} from "../../src/records/history.ts";
import { MetricsLog } from "../../src/records/metrics_log.ts";
import { writePredictions } from "../../src/records/predictions.ts";
import { saveReportPictures } from "../../src/report/report_pictures.ts";
import { thumbnail } from "../../src/report/thumbnail.ts";
import { MADE_LOSSES } from "./made_run.ts";
import { tinyConfig } from "./tiny_run.ts";

/** The facts of a finished run. */
export interface FinishedRun {
  readonly classes?: readonly string[];
  readonly epochs?: number;
  readonly ranks?: number;
  /** Validation images per class. */
  readonly perClass?: number;
  /** The architecture that the config names. */
  readonly model?: string;
  /** `true` where the run failed instead. */
  readonly failed?: boolean;
  /** `true` for a run with {@linkcode MADE_LOSSES}. */
  readonly losses?: boolean;
}

const STEPS = 10;
const BATCH = 8;
const START = Date.parse("2026-11-23T16:54:56Z");
const SIDE = 120;

/** Fills a run folder; the second rank is slow, the third epoch the best. */
export async function makeFinishedRun(folder: string, options: FinishedRun = {}): Promise<History> {
  const { classes = ["ant", "bee", "crab"], epochs = 4, ranks = 2, perClass = 7 } = options;
  await Deno.mkdir(folder, { recursive: true });
  const config = validateConfig(
    tinyConfig(join(folder, "images"), { workers: ranks, train: { epochs, lr: 0.05 } }),
  );
  const { model = config.model.name } = options;
  const named = { ...config, model: { ...config.model, name: model } };
  await Deno.writeTextFile(join(folder, "config.yaml"), stringify(named));
  const labels = classes.flatMap((_, label) => new Array<number>(perClass).fill(label));
  const guesses = labels.map((label, index) =>
    index % 5 === 0 ? (label + 1) % classes.length : label
  );
  const matrix = countConfusions(labels, guesses, classes.length);
  const history: History = {
    config: { ...config },
    epochs: Array.from({ length: epochs }, (_, index) => ({
      epoch: index + 1,
      learningRate: 0.05 / (index + 1),
      train: { loss: 1 / (index + 1), accuracy: 0.5 + 0.1 * index },
      validation: {
        loss: 1.2 / (index + 1),
        accuracy: index === 2 ? overallAccuracy(matrix) : 0.4,
        count: labels.length,
      },
      seconds: 12.5,
      imagesPerSecond: 80,
    })),
    losses: Array.from({ length: epochs * STEPS }, (_, index) => ({
      examples: (index + 1) * BATCH,
      epoch: Math.floor(index / STEPS) + 1,
      step: index % STEPS + 1,
      loss: 2 / (index + 2),
    })),
    validations: Array.from({ length: epochs }, (_, index) => ({
      examples: (index + 1) * STEPS * BATCH,
      epoch: index + 1,
      step: STEPS,
      loss: 1.2 / (index + 1),
      accuracy: 0.4,
    })),
    best: {
      epoch: Math.min(3, epochs),
      accuracy: overallAccuracy(matrix),
      classes: [...classes],
      perClassAccuracy: perClassAccuracy(matrix, classes),
      ...confusionRecord(matrix),
    },
    workers: ranks,
  };
  await writeHistory(folder, history);
  await writeHistoryTable(folder, history);
  await writeLossTable(folder, history);
  await writeMetrics(folder, epochs, ranks);
  await writeImages(folder, classes, labels, guesses);
  using events = new EventLog(folder);
  events.append("started", { epoch: 1, step: 0 });
  events.append("warning", { message: "Rank 1 is slow" });
  events.append("skipped", { path: "train/ant/broken.jpg", reason: "it is cut short" });
  for (const record of history.epochs) events.append("epoch", { ...record });
  if (options.losses) { for (const [type, fields] of MADE_LOSSES) events.append(type, fields); }
  if (options.failed) events.append("failed", { message: "Rank 1 is lost" });
  else {
    const best = { epoch: 3, accuracy: history.best.accuracy };
    events.append("finished", { seconds: 75, best });
  }
  return history;
}

async function writeMetrics(folder: string, epochs: number, ranks: number): Promise<void> {
  using log = await MetricsLog.open(folder, { epoch: 1, step: 0 });
  for (let index = 0; index < epochs * STEPS; index++) {
    const traced = index === 0 ? 900 : 0;
    log.append({
      time: new Date(START + 200 * index).toISOString(),
      epoch: Math.floor(index / STEPS) + 1,
      step: index % STEPS + 1,
      examples: (index + 1) * BATCH,
      loss: 2 / (index + 2),
      accuracy: 0.5,
      learningRate: 0.05,
      imagesPerSecond: 80 + index % 3,
      ms: {
        data: 4,
        forwardBackward: 60 + traced,
        exchange: 5,
        idle: 20,
        update: 2,
        total: 91 + traced,
      },
      ranks: Array.from({ length: ranks }, (_, rank) => ({
        rank,
        samples: BATCH / ranks,
        imagesPerSecond: 40,
        ms: {
          data: 4,
          forwardBackward: 40 + 40 * rank,
          exchange: Math.max(5, 45 - 40 * rank),
          update: 2,
        },
        residentBytes: 4e8,
      })),
    });
  }
}

async function writeImages(
  folder: string,
  classes: readonly string[],
  labels: readonly number[],
  guesses: readonly number[],
): Promise<void> {
  const predictions = labels.map((label, index) => ({
    path: `val/${classes[label]}/${index}.jpg`,
    trueClass: classes[label],
    predictedClass: classes[guesses[index]],
    confidence: 0.5 + (index % 50) / 100,
  }));
  await writePredictions(folder, predictions);
  const rgb = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, index) => index * 7 % 256);
  const image = await thumbnail({ width: SIDE, height: SIDE, rgb });
  const some = predictions.slice(0, 12).map((prediction) => ({ ...prediction, ...image }));
  await saveReportPictures(folder, {
    epoch: 3,
    samples: some,
    mistakes: some.filter(({ trueClass, predictedClass }) => trueClass !== predictedClass),
    batchAsTrained: true,
    batch: [
      { class: classes[0], ...image },
      { class: classes[0], mixed: { class: classes[1], share: 0.3 }, ...image },
    ],
  });
}

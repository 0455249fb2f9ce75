/**
 * The record of a finished run's files, without times: equal for a run that was stopped and one that never was.
 *
 * @module
 */
import { join } from "node:path";
import { readEvents, standingEvents } from "../../src/records/event_log.ts";
import { readMetrics } from "../../src/records/metrics_log.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { readEventFile } from "./event_reader.ts";

/** Columns of CSVs that hold times, speeds or memory. */
const MEASURED = /^(time|seconds|images_per_second|.*_ms|slowest_rank|resident_bytes)$/;
/** Tags of TensorBoard that hold times or speeds. */
const MEASURED_TAGS = /^(images_per_second|step_ms|epoch\/seconds)/;
/** Tags that a point has only where a heartbeat reported their values before it. */
const TIMED_TAGS = /^(memory_bytes|gpu)/;

/** Reads the record of a run folder. */
export async function runRecord(folder: string) {
  const text = (name: string) => Deno.readTextFile(join(folder, name));
  const history = JSON.parse(await text("history.json"));
  const { config: _config, epochs, ...rest } = history;
  const events = standingEvents(await readEvents(folder));
  const last = await readCheckpoint(join(folder, "checkpoints", "last"));
  const best = await readCheckpoint(join(folder, "checkpoints", "best"));
  const report = await text("report.html");
  return {
    last: { sha256: last.info.sha256, epoch: last.info.epoch, step: last.info.step },
    best: { sha256: best.info.sha256, epoch: best.info.epoch, accuracy: best.info.accuracy },
    history: { ...rest, epochs: epochs.map(withoutTimes) },
    historyCsv: withoutMeasured(await text("history.csv")),
    lossesCsv: await text("losses.csv"),
    metrics: (await readMetrics(folder)).map((
      { epoch, step, examples, loss, accuracy, learningRate, ranks },
    ) => ({
      place: { epoch, step, examples },
      values: { loss, accuracy, learningRate },
      samples: ranks.map(({ samples }) => samples),
    })),
    metricsCsv: withoutMeasured(await text("metrics.csv")),
    predictions: await text("predictions.csv"),
    // Their PNGs tell when they were made.
    images: JSON.parse(
      await text("report_pictures.json"),
      (key, value) => key === "image" ? undefined : value,
    ),
    curves: await text("curves.svg"),
    losses: await text("losses.svg"),
    tensorboard: await tensorboardPoints(join(folder, "tensorboard")),
    events: events.filter(({ type }) => ["epoch", "validation", "stopped"].includes(type))
      .map(({ type, epoch, step }) => [type, epoch, step]),
    end: events.at(-1)?.type,
    isReported: report.includes("</html>") &&
      !/interrupted|was lost/i.test(report.slice(0, 20_000)),
  };
}

function withoutTimes({ seconds: _, imagesPerSecond: __, ...rest }: Record<string, unknown>) {
  return rest;
}

function withoutMeasured(csv: string): string[][] {
  const [header, ...rows] = csv.trimEnd().split("\n").map((line) => line.split(","));
  const kept = header.map((name) => !MEASURED.test(name));
  return [header, ...rows].map((row) => row.filter((_, index) => kept[index]));
}

/** Step, tag and value of all that TensorBoard shows, in the order of the steps. */
async function tensorboardPoints(folder: string) {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  const points: [step: number, tag: string, value: number | string][] = [];
  for (const name of names) {
    for (const { step, values } of readEventFile(await Deno.readFile(join(folder, name)))) {
      for (const { tag, scalar, image } of values) {
        if (TIMED_TAGS.test(tag)) continue;
        if (tag === "config" || MEASURED_TAGS.test(tag)) points.push([step, tag, ""]);
        else points.push([step, tag, scalar ?? `${image?.width} × ${image?.height}`]);
      }
    }
  }
  return points.sort(([a, one], [b, two]) => a - b || (one < two ? -1 : 1));
}

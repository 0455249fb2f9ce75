/**
 * A run for TensorBoard: scalars, pictures and the config, in `<run>/tensorboard/`.
 *
 * @module
 */
import { pointOf, type RecordedPoint, stepsBefore } from "../base/step_key.ts";
import { join } from "node:path";
import { stringify } from "../deps/yaml.ts";
import type { EpochRecord } from "../records/history.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import type { RecoveryRecord } from "../records/recovery_record.ts";
import { cutEventFiles, type SummaryPosition } from "./cut_event_files.ts";
import { EventFile, type SummaryValue } from "./event_file.ts";
import type { LoggerStart, RunLogger } from "./logger.ts";

/** Folder of the event files in a run folder. */
export const TENSORBOARD_FOLDER = "tensorboard";

/** Pictures that come with an epoch. */
const EPOCH_PICTURES = ["predictions", "confusion"];

/** Begins a new event file; a run that goes on takes what it makes again out of the old ones. */
export function openTensorBoard(start: LoggerStart): RunLogger {
  const { folder, config, stepsPerEpoch, step, resumed } = start;
  const events = join(folder, TENSORBOARD_FOLDER);
  cutEventFiles(events, (event) => !resumed || isUndone(event, { ...start, resumed }));
  const file = new EventFile(events);
  const stepOf = (point: RecordedPoint) => stepsBefore(pointOf(point), stepsPerEpoch);
  if (resumed) file.restart(step); // for a TensorBoard that has read the old files already
  else file.summary(0, [{ tag: "config", text: "```yaml\n" + stringify(config) + "```" }]);
  return {
    metrics: (point) => file.summary(stepOf(point), pointValues(point)),
    validation: (point) => {
      file.summary(stepOf(point), [
        { tag: "loss/validation", scalar: point.loss },
        { tag: "accuracy/validation", scalar: point.accuracy },
      ]);
    },
    epoch: (record) => file.summary(record.epoch * stepsPerEpoch, epochValues(record)),
    recovery: (record) => {
      file.summary(stepOf(record), [
        { tag: "recovery/seconds", scalar: record.seconds },
        { tag: "recovery/workers", scalar: record.workers },
        { tag: "recovery", text: recoveryText(record) },
      ]);
    },
    picture: (name, png, at) => {
      file.summary(at, [{ tag: name, image: { ...pngSize(png), png } }]);
    },
    close: () => file.close(),
  };
}

/** Tells whether a resumed run makes an event again: one of a later step, or of a validation or epoch not on record. */
function isUndone(
  { step: at, tags }: SummaryPosition,
  { step, stepsPerEpoch, resumed }: LoggerStart & Required<Pick<LoggerStart, "resumed">>,
): boolean {
  if (at !== step) return at > step;
  if (tags.some((tag) => tag.endsWith("/validation"))) return !resumed.validated;
  const isOfEpoch = tags.some((tag) => tag.startsWith("epoch/") || EPOCH_PICTURES.includes(tag));
  return isOfEpoch && resumed.epochs * stepsPerEpoch < step;
}

/** The scalars of a point. */
function pointValues(point: MetricsPoint): SummaryValue[] {
  const { ms, ranks, gpus = [] } = point;
  const bytes = ranks.flatMap(({ rank, residentBytes }) =>
    residentBytes === undefined ? [] : [{ tag: `memory_bytes/rank_${rank}`, scalar: residentBytes }]
  );
  return [
    { tag: "loss/train", scalar: point.loss },
    { tag: "accuracy/train", scalar: point.accuracy },
    { tag: "learning_rate", scalar: point.learningRate },
    { tag: "images_per_second/all", scalar: point.imagesPerSecond },
    ...ranks.map(({ rank, imagesPerSecond }) => ({
      tag: `images_per_second/rank_${rank}`,
      scalar: imagesPerSecond,
    })),
    { tag: "step_ms/data", scalar: ms.data },
    { tag: "step_ms/forward_backward", scalar: ms.forwardBackward },
    { tag: "step_ms/exchange", scalar: ms.exchange },
    { tag: "step_ms/idle", scalar: ms.idle },
    { tag: "step_ms/update", scalar: ms.update },
    { tag: "step_ms/total", scalar: ms.total },
    ...bytes,
    ...gpus.flatMap(({ index, utilization, memoryUsedBytes }) => [
      ...utilization === undefined
        ? []
        : [{ tag: `gpu_utilization/gpu_${index}`, scalar: utilization }],
      ...memoryUsedBytes === undefined
        ? []
        : [{ tag: `memory_bytes/gpu_${index}`, scalar: memoryUsedBytes }],
    ]),
  ];
}

function epochValues({ train, seconds }: EpochRecord): SummaryValue[] {
  return [
    { tag: "epoch/train_loss", scalar: train.loss },
    { tag: "epoch/train_accuracy", scalar: train.accuracy },
    { tag: "epoch/seconds", scalar: seconds },
  ];
}

/** A recovery in Markdown. Reasons are code, in which nothing is markup. */
function recoveryText({ policy, ranks, reasons, workers, seconds }: RecoveryRecord): string {
  const lost = reasons.map((reason) => reason.replace(/^/gm, "    ") + "\n");
  return `Lost rank ${ranks.join(", ")}; policy ${policy}; ${workers} workers after ${
    seconds.toFixed(1)
  } s:\n\n${lost.join("\n")}`;
}

/** Width and height as a PNG's first chunk has them. */
function pngSize(png: Uint8Array<ArrayBuffer>): { width: number; height: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

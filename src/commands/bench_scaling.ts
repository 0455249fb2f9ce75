/**
 * `deno task bench scaling`: the training loop with different numbers of workers.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { coresOfHost, workerThreads } from "../engine/threads.ts";
import { UsageError } from "../base/errors.ts";
import { visibleJson } from "../base/visible_text.ts";
import type { ModePoint, ScalingMode, ScalingResult } from "../bench/scaling.ts";
import {
  ALSO_BATCH,
  CLUSTER_FLAGS,
  clusterSettings,
  ENGINE_FLAGS,
  engineSettings,
  modelFlag,
  numberFlag,
  OUTPUT_FLAGS,
  printTable,
} from "./bench_flags.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";
import { DEVICE_FLAGS, deviceWishes } from "./key_flags.ts";

/** `deno task bench scaling`. */
export const COMMAND: Command = {
  name: "bench scaling",
  isBenchmark: true,
  summary:
    "Measure the training loop with different numbers of workers, and where a step's time goes.",
  flags: [
    { name: "workers", value: "N[,N…]", help: "Worker processes (default: 1,2)" },
    { name: "mode", value: "MODE", help: "weak, strong or both (default: both)" },
    { name: "model", value: "NAME", help: "Architecture (default: resnet18)" },
    { name: "image-size", value: "PIXELS", help: "Side of the images (default: 224)" },
    {
      name: "batch",
      also: ALSO_BATCH,
      value: "N",
      help: "Images per step: per worker (weak), of all together (strong) (default: 16)",
    },
    { name: "steps", value: "N", help: "Steps that are timed (default: 8)" },
    { name: "warmup", value: "N", help: "Steps before them (default: 2)" },
    {
      name: "threads",
      value: "N",
      help: "Threads of TensorFlow per worker (default: the cores / the most workers)",
    },
    { name: "data", value: "DIR", help: "Read the images there (default: synthetic images)" },
    {
      name: "simulate-compute",
      value: "MS",
      help: "Pause so long per batch instead of computing, for more workers than cores",
    },
    {
      name: "vector-bytes",
      value: "SIZE",
      help: "Length of the exchanged vector with a pause (default: the model's)",
    },
    {
      name: "bucket-size",
      value: "SIZE",
      help: "Gradients that leave over NATS together, 0 for all (default: as nats.bucketSize)",
    },
    {
      name: "sync-batch-norm",
      help: "Let BatchNorm's moments meet over the workers, as train.syncBatchNorm",
    },
    ...DEVICE_FLAGS,
    ...ENGINE_FLAGS,
    ...CLUSTER_FLAGS,
    ...OUTPUT_FLAGS,
    HELP_FLAG,
  ],
  examples: [
    "deno task bench scaling --workers 1,2 --model resnet18",
    "deno task bench scaling --workers 1,2,4,8,16 --mode weak --simulate-compute 500",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const options = await scalingOptions(flags);
  const { benchScaling } = await import("../bench/scaling.ts");
  const result = await benchScaling(options);
  if (flags.on("json")) console.log(visibleJson(result));
  else await print(result);
  const out = flags.text("out");
  if (out !== undefined) {
    const { writeResult } = await import("../bench/write_result.ts");
    const { scalingPlot } = await import("../bench/scaling_plot.ts");
    await writeResult(out, {
      result,
      rows: result.points.map(({ breakdown, ...point }) => ({ ...point, ...breakdown })),
      plot: scalingPlot(result),
      workers: Math.max(...options.workers),
      threads: options.threads,
    });
    console.error(`Written to ${out}`);
  }
  return 0;
}

async function scalingOptions(flags: Flags) {
  const { parseCounts, parseSize } = await import("../bench/sizes.ts");
  const workers = parseCounts("workers", flags.text("workers") ?? "1,2");
  const data = flags.text("data");
  const simulateCompute = numberFlag(flags, "simulate-compute", true);
  const vectorBytes = flags.text("vector-bytes");
  const bucketSize = flags.text("bucket-size");
  const most = Math.max(...workers);
  const settings = clusterSettings(flags);
  const coreCount = coresOfHost();
  if (simulateCompute === undefined && most > coreCount) {
    settings.onNews(
      `${most} workers share ${coreCount} cores: their speed says little about ${most} machines. ` +
        "--simulate-compute MS measures the exchange without the computing",
    );
  }
  return {
    workers,
    modes: modesOf(flags.text("mode") ?? "both"),
    model: modelFlag(flags),
    imageSize: flags.integer("image-size", 1) ?? 224,
    batch: flags.integer("batch", 1) ?? 16,
    steps: flags.integer("steps", 1) ?? 8,
    warmup: flags.integer("warmup", 0) ?? 2,
    threads: workerThreads(flags.integer("threads", 1), most),
    call: engineSettings(flags),
    syncBatchNorm: flags.on("sync-batch-norm"),
    ...(data === undefined ? {} : { data }),
    ...(simulateCompute === undefined ? {} : { simulateCompute }),
    ...(vectorBytes === undefined ? {} : { vectorBytes: parseSize(vectorBytes) }),
    ...(bucketSize === undefined
      ? {}
      : { bucketBytes: bucketSize === "0" ? 0 : parseSize(bucketSize) }),
    ...deviceWishes(flags),
    ...settings,
  };
}

function modesOf(text: string): ScalingMode[] {
  if (text === "both") return ["weak", "strong"];
  if (text === "weak" || text === "strong") return [text];
  throw new UsageError(`--mode is ${text}: give weak, strong or both`);
}

async function print(result: ScalingResult): Promise<void> {
  const { sizeText } = await import("../bench/sizes.ts");
  const { points, model, simulateCompute, syncBatchNorm, threads } = result;
  const work = simulateCompute === undefined
    ? `${result.imageSize} px, ${counted(threads, "thread")} per worker, on ${result.devices}`
    : `a pause of ${simulateCompute} ms per ${result.batch} images instead of computing`;
  console.log(
    `${model}, ${work}; ${sizeText(result.vectorBytes)} exchanged, exchange: ${result.exchange}` +
      (syncBatchNorm ? ", synchronized BatchNorm" : ""),
  );
  for (const mode of ["weak", "strong"] as const) {
    const own = points.filter((point) => point.mode === mode);
    if (own.length === 0) continue;
    const what = mode === "weak" ? "batch per worker fixed" : "batch of all workers fixed";
    console.log(`\n${mode} scaling (${what})`);
    const columns = simulateCompute === undefined ? COLUMNS : [...COLUMNS, ...BOUND_COLUMNS];
    await printTable(columns, own.map(rowOf));
  }
  const [first] = points;
  console.log(
    `\nEfficiency: images/s per worker over those with ${
      counted(first.workers, "worker")
    }. Parts of a step in ms, means over the\nranks; idle: waiting in the exchange for slower ranks.` +
      (simulateCompute === undefined ? "" : BOUND_HINT),
  );
}

const COLUMNS = [
  { title: "workers", align: "right" },
  { title: "batch", align: "right" },
  { title: "images/s", align: "right" },
  { title: "efficiency", align: "right" },
  { title: "step ms", align: "right" },
  { title: "data", align: "right" },
  { title: "fwd+bwd", align: "right" },
  { title: "exchange", align: "right" },
  { title: "idle", align: "right" },
  { title: "optimizer", align: "right" },
] as const;

/** Columns of the least time of the exchange, and of its time over that. */
const BOUND_COLUMNS = [
  { title: "bound", align: "right" },
  { title: "× bound", align: "right" },
] as const;

/** Milliseconds of a bound below which it says nothing: meeting takes longer than moving bytes. */
const MIN_BOUND = 0.1;

const BOUND_HINT =
  " bound: what memory needs for the bytes\nthat the exchange must move, (1 + 1/n) " +
  "per rank and byte, when all copy.";

function rowOf({ breakdown, ...point }: ModePoint): string[] {
  const { data, forwardBackward, exchange, idle, update } = breakdown;
  return [
    String(point.workers),
    String(point.globalBatch),
    point.imagesPerSecond.toFixed(1),
    `${(100 * point.efficiency).toFixed(0)} %`,
    point.stepMilliseconds.toFixed(1),
    ...[data, forwardBackward, exchange, idle, update].map(timeText),
    ...boundTexts(exchange, point.boundMilliseconds),
  ];
}

function boundTexts(exchange: number, bound: number | undefined): string[] {
  if (bound === undefined) return [];
  const isShort = bound < MIN_BOUND;
  return [timeText(bound), isShort ? "–" : (exchange / bound).toFixed(1)];
}

/** Milliseconds; those of short exchanges are hundredths. */
function timeText(milliseconds: number): string {
  return milliseconds.toFixed(milliseconds < 1 ? 2 : 1);
}

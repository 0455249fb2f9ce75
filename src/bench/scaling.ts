/**
 * `bench scaling`: how the training loop's speed grows with the workers, and where a step's time goes.
 *
 * The loop is that of real training, with clocks around its parts; see `src/bench/time_epoch.ts`.
 *
 * @module
 */
import { coresOfHost } from "../engine/threads.ts";
import { UsageError } from "../base/errors.ts";
import type { Config, ConfigInput } from "../config/schema.ts";
import { checkPrecision } from "../engine/precision.ts";
import type { CallOptions } from "../engine/capture/call_options.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { isBatchNorm } from "../models/layers.ts";
import { namedLayers } from "../models/named_layers.ts";
import type { ModelName } from "../models/registry.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { trainTimesSchema } from "./benchmark.ts";
import { buildReplica } from "../train/build_replica.ts";
import type { ReplicaState } from "../train/replica_state.ts";
import { scanData } from "../train/job.ts";
import {
  assembleBench,
  BENCH_TRAIN,
  type BenchClusterOptions,
  benchConfig,
  type BenchJob,
  MADE_CLASSES,
  measure,
} from "./bench_cluster.ts";
import { describeDevices } from "../base/compute_device.ts";
import { counted } from "../base/format.ts";
import type { RunDevices } from "../coordinator/preparation/cluster_settings.ts";
import { claimDevices } from "../gpus/claim_devices.ts";
import type { DeviceWishes } from "../gpus/find_devices.ts";
import { type ScalingPoint, summarize } from "./scaling_point.ts";

/** `weak`: the batch per worker stays; `strong`: the batch of all workers together stays. */
export type ScalingMode = "weak" | "strong";

/** The settings of a scaling benchmark. */
export interface ScalingOptions
  extends Omit<BenchClusterOptions, "compute">, Pick<Partial<DeviceWishes>, "device" | "devices"> {
  readonly workers: readonly number[];
  readonly modes: readonly ScalingMode[];
  readonly model: ModelName;
  /** Side of the images in pixels. */
  readonly imageSize: number;
  /** Images per step: of one worker (weak), of all together (strong). */
  readonly batch: number;
  readonly steps: number;
  readonly warmup: number;
  /** Folder of images; synthetic ones unless given. */
  readonly data?: string;
  /** Milliseconds of a pause in the place of the model's work on a batch. */
  readonly simulateCompute?: number;
  /** Length of the exchanged vector with a pause; the model's unless given. */
  readonly vectorBytes?: number;
  /** The compilation of steps. */
  readonly call?: CallOptions;
  /** Let BatchNorm's moments meet over the workers. */
  readonly syncBatchNorm?: boolean;
}

/** A mode's points. */
export interface ModePoint extends ScalingPoint {
  readonly mode: ScalingMode;
  /** Images per second and worker, over those of the smallest number of workers. */
  readonly efficiency: number;
}

/** All points of a measurement. */
export interface ScalingResult {
  readonly kind: "scaling";
  readonly model: ModelName;
  readonly imageSize: number;
  readonly batch: number;
  readonly steps: number;
  readonly threads: number;
  readonly cores: number;
  /** The exchange that summed the gradients. */
  readonly exchange: string;
  readonly vectorBytes: number;
  /** Milliseconds of the pause, where the model's work was left out. */
  readonly simulateCompute?: number;
  /** `true` where BatchNorm's moments meet over the workers. */
  readonly syncBatchNorm?: boolean;
  /** The devices of the most workers, such as `CPU`; absent where nothing is computed. */
  readonly devices?: string;
  readonly images: "made" | "folder";
  readonly points: ModePoint[];
}

/** One kind of step: a number of workers at a batch over all of them. */
type Measured = ScalingPoint & { exchange: string; vectorBytes: number };

/**
 * Measures with real workers: one cluster per number of workers, both modes on it.
 *
 * @throws {UsageError} when a worker would have no images
 */
export async function benchScaling(options: ScalingOptions): Promise<ScalingResult> {
  const { workers: counts, modes, batch } = options;
  checkOptions(options);
  using held = new DisposableStack();
  const compute = await devicesOf(options, held);
  const job = await prepare(options, compute);
  const points: Omit<ModePoint, "efficiency">[] = [];
  let last: Measured | undefined;
  for (const workers of counts) {
    const batches = new Map(modes.map((mode) => [mode, mode === "weak" ? batch * workers : batch]));
    const measured = await measureCluster(workers, new Set(batches.values()), job, options);
    for (const [mode, globalBatch] of batches) {
      last = measured.get(globalBatch)!;
      const { exchange: _exchange, vectorBytes: _vectorBytes, ...point } = last;
      points.push({ mode, ...point });
    }
  }
  const { exchange, vectorBytes } = last!;
  const { devices = [] } = compute;
  const { model, imageSize, steps, threads, simulateCompute, syncBatchNorm } = options;
  return {
    kind: "scaling",
    ...{ model, imageSize, batch, steps, threads, cores: coresOfHost(), exchange, vectorBytes },
    ...(simulateCompute === undefined ? {} : { simulateCompute }),
    ...(syncBatchNorm ? { syncBatchNorm } : {}),
    ...(devices.length > 0 ? { devices: describeDevices(devices) } : {}),
    images: job.benchmark.images,
    points: withEfficiency(points),
  };
}

/** The part of a job that is the same for all numbers of workers. */
type CommonJob = Omit<BenchJob, "workers" | "config"> & {
  readonly configFor: (workers: number) => Config;
  readonly compute: RunDevices;
};

/** The devices of the most workers, and the library that computes on them; none where nothing is computed. */
async function devicesOf(options: ScalingOptions, held: DisposableStack): Promise<RunDevices> {
  const { workers, device = "auto", devices: names, simulateCompute, onNews } = options;
  if (simulateCompute !== undefined) return {};
  const wishes = { device, devices: names, workers: Math.max(...workers) };
  const found = held.use(await claimDevices(wishes, { run: "bench scaling" }));
  found.warnings.forEach((warning) => onNews?.(warning));
  const libraryPath = await ensureLibtensorflow(() => {}, found.build);
  return { devices: found.devices, libraryPath };
}

async function prepare(options: ScalingOptions, compute: RunDevices): Promise<CommonJob> {
  const { model, imageSize, batch, data, simulateCompute, onNews } = options;
  const configFor = (workers: number) =>
    benchConfig(workers, options, {
      model: { name: model, weights: "none" },
      engine: { threadsPerWorker: options.threads, ...options.call },
      ...(options.syncBatchNorm ? { train: { ...BENCH_TRAIN, syncBatchNorm: true } } : {}),
      ...(data ? { data: folderData(data, imageSize) } : {}),
    });
  const config = configFor(1);
  const folder = data ? await scanData(data, config) : undefined;
  using _source = folder?.source;
  const images = folder && {
    root: folder.root,
    fingerprint: folder.fingerprint,
    numClasses: folder.classes.length,
  };
  const numClasses = images?.numClasses ?? MADE_CLASSES;
  const isReal = simulateCompute === undefined;
  const isGiven = !isReal && options.vectorBytes !== undefined;
  const ofModel = isGiven && !options.syncBatchNorm
    ? undefined
    : await vectorsOf(config, numClasses, compute, onNews);
  const { vectorBytes, regions } = isGiven
    ? { vectorBytes: options.vectorBytes!, regions: 1 }
    : ofModel!;
  const moments = options.syncBatchNorm ? { moments: ofModel!.moments } : {};
  const pause = isReal ? {} : {
    pause: { milliseconds: simulateCompute, rows: batch, vectorBytes, ...moments },
  };
  const benchmark = { images: data ? "folder" as const : "made" as const, imageSize, ...pause };
  return { configFor, benchmark, vectorBytes, regions, compute, ...(images ? { images } : {}) };
}

/** The transforms of ImageNet's recipes. */
function folderData(root: string, imageSize: number): ConfigInput["data"] {
  const normalize = { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } };
  return {
    root,
    train: [{ RandomResizedCrop: imageSize }, "RandomHorizontalFlip", normalize],
    val: [{ Resize: [imageSize, imageSize] }, normalize],
  };
}

/**
 * Length of the vector that replicas of the model exchange, the vectors that a step changes, and the values of
 * BatchNorm's small vectors in a step.
 */
async function vectorsOf(
  config: Config,
  numClasses: number,
  { devices = [], ...compute }: RunDevices,
  onNews?: (line: string) => void,
): Promise<Pick<ReplicaState, "vectorBytes" | "regions"> & { moments: number[] }> {
  onNews?.(`Building ${config.model.name}`);
  const libraryPath = compute.libraryPath ?? await ensureLibtensorflow(() => {});
  await openEngineOnCpu({ libraryPath, threads: { intraOp: 1, interOp: 1 } });
  const gpus = devices.filter((device) => device.kind === "gpu");
  const warning = checkPrecision(config.engine.precision, gpus);
  if (warning) onNews?.(warning);
  using replica = await buildReplica(config, { numClasses });
  const { vectorBytes, regions } = replica.state;
  const forward = namedLayers(replica.model).flatMap(({ layer }) =>
    isBatchNorm(layer) ? 2 * layer.weights[0].shape[0]! : []
  );
  return { vectorBytes, regions, moments: [...forward, ...forward.toReversed()] };
}

/** Measures one cluster at each of some batches. */
async function measureCluster(
  workers: number,
  globalBatches: ReadonlySet<number>,
  { configFor, compute, ...job }: CommonJob,
  options: ScalingOptions,
): Promise<Map<number, Measured>> {
  const { onNews, warmup, steps } = options;
  onNews?.(`Starting ${counted(workers, "worker")}`);
  await using cluster = await assembleBench(
    { workers, config: configFor(workers), ...job },
    { ...options, compute },
  );
  const measured = new Map<number, Measured>();
  for (const globalBatch of globalBatches) {
    const round = measured.size + 1;
    const replies = await measure(
      cluster,
      { kind: "train", round, globalBatch, warmup, steps },
      warmup + steps,
    );
    const ranks = replies.map(({ result }) => trainTimesSchema.parse(result));
    const point = summarize(ranks, globalBatch);
    const { exchange, vectorBytes } = ranks[0];
    measured.set(globalBatch, { ...point, exchange, vectorBytes });
    onNews?.(
      `${counted(workers, "worker")}, batch ${globalBatch}: ${
        point.imagesPerSecond.toFixed(1)
      } images/s`,
    );
  }
  return measured;
}

/** Adds each point's speed per worker over that of the mode's smallest number of workers. */
export function withEfficiency(points: readonly Omit<ModePoint, "efficiency">[]): ModePoint[] {
  const perWorker = (point: Omit<ModePoint, "efficiency">) => point.imagesPerSecond / point.workers;
  return points.map((point) => {
    const first = points.find(({ mode }) => mode === point.mode)!;
    return { ...point, efficiency: perWorker(point) / perWorker(first) };
  });
}

function checkOptions({ workers, modes, batch, simulateCompute, vectorBytes }: ScalingOptions) {
  const most = Math.max(...workers);
  if (modes.includes("strong") && batch < most) {
    throw new UsageError(
      `--batch ${batch} over ${most} workers leaves some without images: ` +
        `give --batch ${most} or more, or --mode weak`,
    );
  }
  if (vectorBytes !== undefined && simulateCompute === undefined) {
    throw new UsageError(
      "--vector-bytes needs --simulate-compute: a model's gradients have a length of their own",
    );
  }
}

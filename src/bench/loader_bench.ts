/**
 * Measures the data loader alone: images on the disk to batches of bytes, without a training step.
 *
 * @module
 */
import { alignedBytes } from "../base/aligned_memory.ts";
import { mean, median } from "../base/statistics.ts";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { randomStream } from "../base/random.ts";
import { UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { decodeImage } from "../data/codecs/decode.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { type DiskFolder, ENTRIES_FOLDER } from "../data/loading/disk_images.ts";
import { Loader, type LoaderOptions } from "../data/loading/loader.ts";
import { LoaderThreads } from "../data/loading/loader_threads.ts";
import type { EpochStep } from "../data/loading/sampler.ts";
import { listImages } from "../data/datasets/image_files.ts";
import type { Sample } from "../data/datasets/image_set.ts";
import { ImageSource } from "../data/datasets/image_source.ts";
import { PAUSED_SIDE, PausedSource } from "../data/datasets/paused_source.ts";
import { ByteImages } from "../data/transforms/byte_images.ts";
import { transformsSchema } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { readNative } from "../engine/binding/native_environment.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { ImageStage } from "../train/image_stage.ts";

/** The settings of a loader benchmark. */
export interface LoaderBenchOptions {
  /** Folder of images. */
  readonly data: string;
  /** Side of the crops in pixels. */
  readonly imageSize: number;
  readonly batch: number;
  /** Times that all images are loaded and timed, after once for warming up. */
  readonly epochs: number;
  /** Numbers of loader threads to measure, in turn. */
  readonly threads: readonly number[];
  /** Keep the decoded images in memory: what is timed finds them there. */
  readonly keep: boolean;
  /** A folder that keeps the decoded images: what is timed finds them there, but for files that are just written. */
  readonly cacheDir?: string | undefined;
}

/** The settings of a benchmark of what is around the work on images. */
export interface SimulatedLoaderOptions
  extends Pick<LoaderBenchOptions, "batch" | "epochs" | "threads"> {
  readonly images: number;
  /** Milliseconds that a thread sleeps for each image, in the place of all work on it. */
  readonly simulatedCost: number;
}

/** Milliseconds that one image spends in each part of the loader, alone on the machine: means. */
export interface LoaderStages {
  readonly read: number;
  readonly decode: number;
  /** Crop and resize, up to bytes in their place in the batch. */
  readonly transform: number;
  /** From bytes to mirrored, normalized floats: no part of the loader, but of the step, for a batch at a time. */
  readonly finish: number;
}

/** The speed of the loader with a number of threads. */
export interface LoaderSpeed {
  readonly threads: number;
  /** Of the median epoch. */
  readonly imagesPerSecond: number;
  /** The slowest and the fastest epoch. */
  readonly range: readonly [number, number];
  /** Of the median epoch, by the time that this process had a core: what one core alone can load. */
  readonly imagesPerCoreSecond: number;
  /** Median over the epochs of the speed over that of the first number of threads in the same round. */
  readonly scaling: number;
  /** Time of a core that the main thread takes per image, in microseconds; `null` where the system doesn't say. */
  readonly mainMicroseconds: number | null;
}

/** The result of a loader benchmark. */
export interface LoaderBenchResult {
  readonly images: number;
  /** Mean size of a file; missing, like the stages, where the cost is simulated. */
  readonly kilobytes?: number;
  readonly speeds: readonly LoaderSpeed[];
  readonly stages?: LoaderStages;
}

const SEED = 0;
/** Room for the images that are kept; the system gives memory only for those that there are. */
const KEPT_BYTES = 4 * 2 ** 30;

/** One epoch's figures. */
interface Epoch {
  readonly imagesPerSecond: number;
  readonly imagesPerCoreSecond: number;
  readonly mainMicroseconds: number | null;
}

/**
 * Loads images with the transforms of ImageNet's usual recipe: RandomResizedCrop, flip, Normalize. The numbers of
 * threads take turns, epoch by epoch.
 *
 * @throws {UsageError} when libtensorflow is missing, or the folder has no images
 * @throws {DataError} naming the image that can't be used
 */
export async function benchLoader(options: LoaderBenchOptions): Promise<LoaderBenchResult> {
  const { data, imageSize, keep, cacheDir } = options;
  const [root, folder] = [dirname(data), basename(data)];
  const files = await listImages(root, folder);
  if (files.length === 0) throw new UsageError(`Folder ${JSON.stringify(data)} has no images`);
  const samples = files.map(({ path }, index): Sample => ({ path, label: 0, index }));
  const pipeline = new TransformPipeline(transformsSchema.parse([
    { RandomResizedCrop: imageSize },
    "RandomHorizontalFlip",
    { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
  ]));
  using source = new ImageSource(root);
  const cacheBytes = keep ? KEPT_BYTES : 0;
  const disk = cacheDir === undefined ? undefined : await makeDiskFolder(cacheDir);
  const speeds = await timeThreads(options, { source, samples, pipeline, cacheBytes, disk });
  return {
    images: samples.length,
    kilobytes: mean(files.map(({ bytes }) => bytes)) / 1000,
    speeds,
    stages: await timeStages(root, samples, pipeline, options.batch),
  };
}

/**
 * Has threads sleep in the place of reading, decoding and transforming: so the handing out can be measured with more
 * threads than there are cores.
 */
export async function simulateLoader(options: SimulatedLoaderOptions): Promise<LoaderBenchResult> {
  const { images, simulatedCost } = options;
  const samples = Array.from(
    { length: images },
    (_, index): Sample => ({ path: `train/class/image-${index}.jpg`, label: 0, index }),
  );
  const pipeline = new TransformPipeline(transformsSchema.parse([{ CenterCrop: PAUSED_SIDE }]));
  using source = new PausedSource(simulatedCost);
  return { images, speeds: await timeThreads(options, { source, samples, pipeline }) };
}

/** Times epochs with each number of threads. */
async function timeThreads(
  { threads, batch, epochs }: Pick<LoaderBenchOptions, "threads" | "batch" | "epochs">,
  parts: Omit<LoaderOptions, "onError" | "prefetch">,
): Promise<LoaderSpeed[]> {
  await openEngineOnCpu({ threads: { intraOp: 1, interOp: 1 } });
  const planner = new EpochPlanner({
    length: parts.samples.length,
    globalBatch: batch,
    shuffle: { seed: SEED },
  });
  await using pools = new AsyncDisposableStack();
  const loaders = threads.map((count) =>
    new Loader({
      ...parts,
      onError: "fail",
      // Every thread has something to do, also when batches are small.
      prefetch: Math.max(4, Math.ceil(4 * count / batch)),
      threads: pools.use(new LoaderThreads(count)),
    })
  );
  const measured = loaders.map((): Epoch[] => []);
  for (let epoch = 0; epoch <= epochs; epoch++) {
    for (const [at, loader] of loaders.entries()) {
      const outcome = await timeEpoch(loader, planner.steps(epoch), epoch);
      if (epoch > 0) measured[at]!.push(outcome);
    }
  }
  return threads.map((count, at) => speedOf(count, measured[at]!, measured[0]!));
}

async function makeDiskFolder(cacheDir: string): Promise<DiskFolder> {
  const folder = join(cacheDir, ENTRIES_FOLDER);
  await Deno.mkdir(folder, { recursive: true });
  return { folder, limit: Number.MAX_SAFE_INTEGER };
}

async function timeEpoch(
  loader: Loader,
  plan: readonly EpochStep[],
  epoch: number,
): Promise<Epoch> {
  const cpu = process.cpuUsage();
  const main = mainThreadSeconds();
  const start = performance.now();
  let count = 0;
  for await (const { indices } of loader.batches(plan, epoch, { seed: SEED, reuse: true })) {
    count += indices.length;
  }
  const seconds = (performance.now() - start) / 1000;
  const mainEnd = mainThreadSeconds();
  const { user, system } = process.cpuUsage(cpu);
  return {
    imagesPerSecond: count / seconds,
    imagesPerCoreSecond: count * 1e6 / (user + system),
    mainMicroseconds: main === undefined || mainEnd === undefined
      ? null
      : (mainEnd - main) * 1e6 / count,
  };
}

function speedOf(threads: number, epochs: readonly Epoch[], first: readonly Epoch[]): LoaderSpeed {
  const speeds = epochs.map(({ imagesPerSecond }) => imagesPerSecond);
  const main = epochs.flatMap(({ mainMicroseconds }) => mainMicroseconds ?? []);
  return {
    threads,
    imagesPerSecond: median(speeds),
    range: [Math.min(...speeds), Math.max(...speeds)],
    imagesPerCoreSecond: median(epochs.map(({ imagesPerCoreSecond }) => imagesPerCoreSecond)),
    scaling: median(speeds.map((speed, epoch) => speed / first[epoch]!.imagesPerSecond)),
    mainMicroseconds: main.length > 0 ? median(main) : null,
  };
}

/** The time that this thread has had a core, by the kernel's own count (proc(5), `schedstat`); Linux only. */
function mainThreadSeconds(): number | undefined {
  const text = readNative("/proc/thread-self/schedstat");
  return text === undefined ? undefined : Number(text.split(" ", 1)[0]) / 1e9;
}

/** Does to one image after the other what the loader does, each part timed; the step's part by batches. */
async function timeStages(
  root: string,
  samples: readonly Sample[],
  pipeline: TransformPipeline,
  batch: number,
): Promise<LoaderStages> {
  const sums = { read: 0, decode: 0, transform: 0 };
  const { rowBytes } = pipeline.device!;
  const data = alignedBytes(batch * rowBytes);
  using stage = new ImageStage(true);
  const batches: number[] = [];
  for (const [count, { path, index }] of samples.entries()) {
    const random = randomStream(SEED, "augment", 0, index);
    const row = count % batch;
    const start = performance.now();
    const bytes = await readRegularFile(join(root, path));
    const read = performance.now();
    const image = await decodeImage(bytes, {
      path,
      part: (size) => pipeline.part(size, random),
    });
    const decoded = performance.now();
    pipeline.applyBytes(image, random, data.subarray(row * rowBytes, (row + 1) * rowBytes), true);
    sums.read += read - start;
    sums.decode += decoded - read;
    sums.transform += performance.now() - decoded;
    if (row === batch - 1 || batches.length === 0) {
      batches.push(await timeFinish(stage, pipeline, data));
    }
  }
  return {
    read: sums.read / samples.length,
    decode: sums.decode / samples.length,
    transform: sums.transform / samples.length,
    finish: median(batches) / batch,
  };
}

/** Milliseconds of the device's part for a batch. */
async function timeFinish(
  stage: ImageStage,
  { device, size: [height, width] }: TransformPipeline,
  data: Uint8Array,
): Promise<number> {
  const count = data.length / device!.rowBytes;
  const images = new ByteImages({ count, transforms: device!, data });
  const start = performance.now();
  const tensor = await stage.tensorOf({ images, height, width });
  const milliseconds = performance.now() - start;
  tensor.dispose();
  return milliseconds;
}

/**
 * Measures the data loader alone: images on the disk to batches of floats, without a training step.
 *
 * @module
 */
import { mean, median } from "../base/statistics.ts";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { randomStream } from "../base/random.ts";
import { UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { decodeImage } from "../data/codecs/decode.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { Loader } from "../data/loading/loader.ts";
import { listImages } from "../data/datasets/image_files.ts";
import type { Sample } from "../data/datasets/image_set.ts";
import { ImageSource } from "../data/datasets/image_source.ts";
import { transformsSchema } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { openEngineOnCpu } from "../engine/engine.ts";

/** The settings of a loader benchmark. */
export interface LoaderBenchOptions {
  /** Folder of images. */
  readonly data: string;
  /** Side of the crops in pixels. */
  readonly imageSize: number;
  readonly batch: number;
  /** Times that all images are loaded and timed, after once for warming up. */
  readonly epochs: number;
  /** Images to read and decode at a time, each on a thread; 0: as in training. */
  readonly threads: number;
  /** Keep the decoded images in memory: what is timed finds them there. */
  readonly keep: boolean;
}

/** Milliseconds that one image spends in each part of the loader, alone on the machine: means. */
export interface LoaderStages {
  readonly read: number;
  readonly decode: number;
  /** Crop, resize and flip. */
  readonly transform: number;
  /** From bytes to normalized floats in their place in the batch. */
  readonly collate: number;
}

/** The result of a loader benchmark. */
export interface LoaderBenchResult {
  readonly images: number;
  /** Mean size of a file. */
  readonly kilobytes: number;
  /** Of the median epoch. */
  readonly imagesPerSecond: number;
  /** The slowest and the fastest epoch. */
  readonly range: readonly [number, number];
  /** Of the median epoch, by the time that this process had a core: what one core alone can load. */
  readonly imagesPerCoreSecond: number;
  readonly stages: LoaderStages;
}

const SEED = 0;

/**
 * Loads images with the transforms of ImageNet's usual recipe: RandomResizedCrop, flip, Normalize.
 *
 * @throws {UsageError} when libtensorflow is missing, or the folder has no images
 * @throws {DataError} naming the image that can't be used
 */
export async function benchLoader(options: LoaderBenchOptions): Promise<LoaderBenchResult> {
  const { data, imageSize, batch, epochs, threads, keep } = options;
  const [root, folder] = [dirname(data), basename(data)];
  const files = await listImages(root, folder);
  if (files.length === 0) throw new UsageError(`Folder ${JSON.stringify(data)} has no images`);
  const samples = files.map(({ path }, index): Sample => ({ path, label: 0, index }));
  await openEngineOnCpu({ threads: { intraOp: 1, interOp: 1 } });
  const pipeline = new TransformPipeline(transformsSchema.parse([
    { RandomResizedCrop: imageSize },
    "RandomHorizontalFlip",
    { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
  ]));
  using source = new ImageSource(root);
  const loader = new Loader({
    source,
    samples,
    pipeline,
    onError: "fail",
    prefetch: 4,
    cacheBytes: keep ? Infinity : 0,
    concurrency: threads || undefined,
  });
  const planner = new EpochPlanner({
    length: samples.length,
    globalBatch: batch,
    shuffle: { seed: SEED },
  });
  const speeds: number[] = [], coreSpeeds: number[] = [];
  for (let epoch = 0; epoch <= epochs; epoch++) {
    const plan = planner.steps(epoch);
    const cpu = process.cpuUsage();
    const start = performance.now();
    let count = 0;
    for await (const { indices } of loader.batches(plan, epoch, { seed: SEED, reuse: true })) {
      count += indices.length;
    }
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    if (epoch === 0) continue;
    speeds.push(count / seconds);
    coreSpeeds.push(count * 1e6 / (user + system));
  }
  const sorted = speeds.toSorted((a, b) => a - b);
  return {
    images: samples.length,
    kilobytes: mean(files.map(({ bytes }) => bytes)) / 1000,
    imagesPerSecond: median(speeds),
    range: [sorted[0], sorted[sorted.length - 1]],
    imagesPerCoreSecond: median(coreSpeeds),
    stages: await timeStages(root, samples, pipeline),
  };
}

/** Does to one image after the other what the loader does, each part timed. */
async function timeStages(
  root: string,
  samples: readonly Sample[],
  pipeline: TransformPipeline,
): Promise<LoaderStages> {
  const sums = { read: 0, decode: 0, transform: 0, collate: 0 };
  const floats = new Float32Array(pipeline.floats);
  for (const { path, index } of samples) {
    const random = randomStream(SEED, "augment", 0, index);
    const start = performance.now();
    const bytes = await readRegularFile(join(root, path));
    const read = performance.now();
    const image = await decodeImage(bytes, {
      path,
      part: (size) => pipeline.part(size, random),
    });
    const decoded = performance.now();
    const transformed = pipeline.transform(image, random, true);
    const done = performance.now();
    pipeline.write(transformed, random, floats, 0);
    sums.read += read - start;
    sums.decode += decoded - read;
    sums.transform += done - decoded;
    sums.collate += performance.now() - done;
  }
  const mean = (sum: number) => sum / samples.length;
  return {
    read: mean(sums.read),
    decode: mean(sums.decode),
    transform: mean(sums.transform),
    collate: mean(sums.collate),
  };
}

/**
 * Predictions for images of any origin, one after the other.
 *
 * @module
 */
import { join } from "node:path";
import { interruptedBy } from "../base/interruption.ts";
import { exists } from "../base/paths.ts";
import { type Batch, Loader } from "../data/loading/loader.ts";
import { LoaderThreads } from "../data/loading/loader_threads.ts";
import {
  findInputs,
  type FoundInputs,
  InputSource,
  type InputSourceOptions,
} from "../data/datasets/image_inputs.ts";
import type { RgbImage } from "../data/codecs/rgb_image.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { coresOfHost } from "../engine/threads.ts";
import type { tf } from "../engine/tf.ts";
import { requireFiniteOutputs } from "../metrics/check_scores.ts";
import { type Maps, Predictor } from "./predictor.ts";
import { firstNonFinite, type Ranking } from "../train/scores.ts";
import { buildTrainedModel, findTrainedModel, type TrainedModel } from "./trained_model.ts";

/** A class and how probable the model finds it. */
export interface ClassProbability {
  /** Its name. */
  readonly class: string;
  /** 0 … 1. */
  readonly probability: number;
}

/** The predictions for one image, or the reason why it couldn't be read or its output means nothing. */
export type ImagePrediction =
  | {
    /** The image's path or URL. */
    readonly path: string;
    /** The most probable classes, the first one first. */
    readonly predictions: readonly ClassProbability[];
  }
  | { readonly path: string; readonly error: string };

/** A prediction with what images of it are made of. */
export type DetailedPrediction =
  | { readonly path: string; readonly error: string }
  | {
    readonly path: string;
    readonly predictions: readonly ClassProbability[];
    /** The image as the network saw it. */
    readonly view: RgbImage;
    /** Map of the places where the network sees the first class, when asked for. */
    readonly map?: {
      readonly height: number;
      readonly width: number;
      readonly values: Float32Array;
    };
  };

/** Options of a prediction. */
export interface PredictOptions {
  /** Classes per image (default 5). */
  readonly top?: number;
  /** Images per pass (default 8). */
  readonly batchSize?: number;
  /** Largest image that is decoded, in pixels (default 100 million). */
  readonly maxPixels?: number;
  /** Largest file that is fetched from an address, in bytes (default 50 MB). */
  readonly maxBytes?: number;
  /** Milliseconds that fetching an image may take (default 30 seconds). */
  readonly timeoutMs?: number;
  /** Module files that the run names and that may be imported; those that you have trained with needn't be named. */
  readonly modules?: readonly string[] | undefined;
  /** Ends the iteration with an `InterruptedError`, whose cause is its reason. */
  readonly signal?: AbortSignal | undefined;
}

const TOP = 5;
const BATCH = 8;
/** Batches that are decoded ahead. */
const PREFETCH = 2;
/** The reason why an image has no classes although it could be read. */
const NOT_FINITE = "the network's output is NaN or infinite";

/**
 * Predicts the classes of images, in their order, while later ones are still being read. The engine must be open.
 *
 * Images are prepared as the run's validation images were.
 *
 * @example
 * ```ts
 * import { openEngine, predict } from "@lockstep/lockstep";
 *
 * await openEngine();
 * for await (const result of predict("runs/latest", ["photos/val"], { top: 2 })) {
 *   if ("error" in result) console.error(`${result.path}: ${result.error}`);
 *   else console.log(result.path, result.predictions[0].class, result.predictions[0].probability);
 * }
 * ```
 *
 * @param source A run folder (its best weights) or a checkpoint's folder
 * @param images Files, folders (with all below them), patterns such as `photos/*.jpg`, http and https addresses
 * @throws {UsageError} when the run or the checkpoint can't be used; an image that can't be read is no error, but a
 * result that says why
 * @throws {InterruptedError} when `options.signal` fires
 * @throws {LockstepError} after the last image, when the network's output was NaN or infinite for some: the results of
 * those have this as their error
 */
export async function* predict(
  source: string,
  images: readonly string[],
  options: PredictOptions = {},
): AsyncGenerator<ImagePrediction, void, undefined> {
  using interruption = interruptedBy(options.signal);
  const { signal } = interruption;
  const isRun = await exists(join(source, "config.yaml"));
  const found = await findTrainedModel({
    ...(isRun ? { run: source } : { checkpoint: source }),
    modules: options.modules,
  });
  signal?.throwIfAborted();
  const model = await buildTrainedModel(found);
  try {
    signal?.throwIfAborted();
    const inputs = await findInputs(images);
    signal?.throwIfAborted();
    for (const { name, reason } of inputs.problems) yield { path: name, error: reason };
    for await (const result of predictInputs(model, found, inputs, { ...options, signal })) {
      if ("error" in result) yield result;
      else yield { path: result.path, predictions: result.predictions };
    }
  } finally {
    model.dispose();
  }
}

/** The transforms and classes of the predictions. */
type Prepared = Pick<TrainedModel, "transforms"> & {
  readonly info: Pick<TrainedModel["info"], "classes">;
};

/**
 * Predicts found images; their problems are for the caller to report.
 *
 * @throws {NonFiniteOutputError} after the last one, when an output is NaN or infinite
 */
export async function* predictInputs(
  model: tf.LayersModel,
  { transforms, info }: Prepared,
  { inputs }: Pick<FoundInputs, "inputs">,
  options: PredictOptions & { readonly explain?: boolean } = {},
): AsyncGenerator<DetailedPrediction, void, undefined> {
  const { top = TOP, batchSize = BATCH, explain = false, signal } = options;
  const pipeline = new TransformPipeline(transforms);
  const samples = inputs.map(({ name }, index) => ({ path: name, label: 0, index }));
  using source = new InputSource(inputs, sourceOptions(options));
  await using threads = new LoaderThreads(coresOfHost());
  const loader = new Loader({
    source,
    samples,
    // A few images are there before threads would be.
    ...(samples.length > batchSize ? { threads } : {}),
    pipeline,
    onError: "skip",
    prefetch: PREFETCH,
    cacheBytes: 0, // no image comes twice
  });
  using predictor = new Predictor(model, { top, fullBatch: batchSize });
  const plan = new EpochPlanner({ length: samples.length, globalBatch: batchSize }).steps(0);
  const firsts = new Map<number, number>();
  let layer: string | undefined;
  for await (const batch of loader.batches(plan, 0, { seed: 0, signal, reuse: true })) {
    const count = batch.labels.length;
    const images = { ...batch, count };
    const ranking = count > 0 ? await predictor.rank(images) : undefined;
    const wild = ranking ? firstNonFinite(ranking) : -1;
    if (wild >= 0) layer ??= predictor.nonFiniteLayer(images, wild);
    const maps = explain && ranking ? await predictor.explain(images, firstOf(ranking)) : undefined;
    yield* inOrder(batch, (row) => {
      const { path, index } = samples[batch.indices[row]];
      const first = ranking!.ranked[row * ranking!.width];
      firsts.set(index, first);
      if (first < 0) return { path, error: NOT_FINITE };
      return {
        path,
        predictions: namedRow(ranking!, row, info.classes),
        view: pipeline.imageAt(batch.images, row),
        ...(maps ? { map: mapOf(maps, row) } : {}),
      };
    });
  }
  requireFiniteOutputs({ what: "predicted", samples, layer }, (index) => {
    const first = firsts.get(index);
    return first === undefined ? undefined : { first, loss: 0 };
  }, "these weights can't be used");
}

function sourceOptions(options: PredictOptions): InputSourceOptions {
  const { maxPixels, maxBytes, timeoutMs, signal } = options;
  return {
    ...(maxPixels === undefined ? {} : { maxPixels }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(signal ? { signal } : {}),
  };
}

/** A batch's images and those that were left out, as they were named. */
function* inOrder(
  { indices, skipped }: Batch,
  resultOf: (row: number) => DetailedPrediction,
): Generator<DetailedPrediction> {
  const places = [
    ...Array.from(indices, (index, row) => ({ index, result: () => resultOf(row) })),
    ...skipped.map(({ index, path, reason }) => ({
      index,
      result: () => ({ path, error: reason }),
    })),
  ].sort((a, b) => a.index - b.index);
  for (const { result } of places) yield result();
}

/** The classes to explain; that of a row without one is never shown. */
function firstOf({ ranked, width }: Ranking): Int32Array {
  return ranked.filter((_, at) => at % width === 0).map((first) => Math.max(first, 0));
}

function namedRow(
  { ranked, probabilities, width }: Ranking,
  row: number,
  classes: readonly string[],
): ClassProbability[] {
  return Array.from({ length: width }, (_, rank) => ({
    class: classes[ranked[row * width + rank]],
    probability: probabilities[row * width + rank],
  }));
}

function mapOf({ height, width, maps }: Maps, row: number) {
  return { height, width, values: maps[row] };
}

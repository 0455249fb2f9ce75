/**
 * The frozen part of a network: images in, features out, without gradients.
 *
 * An image's features must not depend on its batch, so that they may be kept. On CPUs they don't, to the bit, as
 * long as there are two rows or more; a single row takes other kernels (a matrix by a vector). So a row never runs
 * alone, and {@linkcode Features.verify} tries the rest out on the machine itself.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { randomStream } from "../base/random.ts";
import { CapturedFunction, type CaptureOptions } from "../engine/capture/capture.ts";
import { requireImages } from "../data/loading/loader.ts";
import { tf } from "../engine/tf.ts";
import { tensorFrom } from "../engine/transfer.ts";
import type { FrozenBody } from "../models/frozen_body.ts";
import type { Images } from "../data/transforms/byte_images.ts";
import type { FeatureCache, FeatureCaches } from "./feature_cache.ts";
import type { ImageStage } from "./image_stage.ts";

/** Numbers of rows that are computed at a time when much of a batch is known: few, as each is a trace. */
const CHUNKS = { large: 4, small: 2 };

/** Least number of rows that run together. */
const LEAST = 2;

/** Share of a batch that must be missing for all of it to be computed. */
const MOST = 0.75;

/** Images of a batch. */
export interface FeatureImages {
  /** NHWC, normalized; or as bytes. */
  readonly images: Images;
  readonly height: number;
  readonly width: number;
  /** [n], positions in the list of samples; without them nothing is kept. */
  readonly indices?: Uint32Array;
  /** Rows that hold no image, as in a `Batch`: their features must be kept. */
  readonly unread?: ReadonlySet<number>;
}

/** Computes features, or takes them from a cache where there is one. */
export class Features implements Disposable {
  /** The caches that keep features. */
  caches: FeatureCaches | undefined;
  readonly head: FrozenBody["head"];
  readonly #body: CapturedFunction;
  readonly #stage: ImageStage;
  /** One image's shape of features, once some were computed. */
  #shape: readonly number[] | undefined;

  /** @param stage Makes tensors of images; the caller disposes of it */
  constructor({ body, head }: FrozenBody, stage: ImageStage, options: CaptureOptions) {
    this.head = head;
    this.#stage = stage;
    this.#body = new CapturedFunction("features", (images) => [body(images)], {
      ...options,
      random: false,
    });
  }

  /**
   * Features of a batch [n, …]; the caller disposes of them.
   *
   * @param cache Holds the known features, and gets the others
   * @throws {RangeError} when a row holds no image, and its features aren't kept
   */
  async of(images: FeatureImages, cache?: FeatureCache): Promise<tf.Tensor> {
    const { indices } = images;
    if (!cache || !indices) {
      requireImages(images);
      return await this.#compute(images);
    }
    requireKept(images, indices, cache);
    const missing = [...indices.keys()].filter((row) => !cache.has(indices[row]));
    if (missing.length > MOST * indices.length) {
      return this.#merge(await this.#compute(images), indices, cache);
    }
    const rows: Float32Array[] = Array.from(indices, (index) => cache.get(index)!);
    while (missing.length > 0) {
      const size = missing.length > CHUNKS.small ? CHUNKS.large : CHUNKS.small;
      const chunk = missing.splice(0, size);
      const computed = await this.#chunk(images, chunk, size);
      chunk.forEach((row, position) => {
        rows[row] = computed[position];
        cache.keep(indices[row], computed[position]);
      });
    }
    return stack(rows, this.#shape!);
  }

  /**
   * Features of rows that are all kept [n, …]; the caller disposes of them.
   *
   * @throws {RangeError} when those of a row aren't
   */
  kept(indices: Uint32Array, cache: FeatureCache): tf.Tensor {
    const rows = Array.from(indices, (index) => {
      const row = cache.get(index);
      if (row) return row;
      throw new RangeError(`The features of image ${index} aren't kept`);
    });
    return stack(rows, this.#shape!);
  }

  /**
   * Makes sure that features don't depend on the batch that they are computed in.
   *
   * @param counts Numbers of rows that will run together
   * @param size Height and width of the images
   * @throws {LockstepError} when they do
   */
  async verify(
    counts: readonly number[],
    [height, width]: readonly [number, number],
  ): Promise<void> {
    if (counts.length === 0) return;
    const floats = height * width * 3;
    const random = randomStream("features");
    const all = Float32Array.from({ length: Math.max(...counts) * floats }, () => 4 * random() - 2);
    for (const count of counts) {
      const images = { images: all.subarray(0, count * floats), height, width };
      const together = await this.#rowsOf(images); // the first call traces
      const again = await this.#rowsOf(images);
      let same = together.every((row, at) => equal(row, again[at]));
      for (const size of Object.values(CHUNKS)) {
        const some = Array.from({ length: size }, (_, part) => Math.floor(part * count / size));
        const chosen = [...new Set(some)].reverse();
        const apart = await this.#chunk(images, chosen, size);
        same &&= chosen.every((row, at) => equal(together[row], apart[at]));
      }
      if (same) continue;
      throw new LockstepError(
        `The features of an image depend on the batch here: a batch of ${count} gives other bits than parts of ` +
          "it, so that kept features would change the run: remove train.featureCache",
      );
    }
  }

  /** Releases the traced function. */
  [Symbol.dispose](): void {
    this.#body.dispose();
  }

  async #compute({ images, height, width }: FeatureImages): Promise<tf.Tensor> {
    const floats = height * width * 3;
    const count = images instanceof Float32Array ? images.length / floats : images.count;
    const rows = Math.max(count, LEAST);
    const input = rows === count ? images : pick(images, [...Array(count).keys()], rows, floats);
    const tensor = await this.#stage.tensorOf({ images: input, height, width });
    const [features] = await this.#body.call([tensor]);
    tensor.dispose();
    this.#shape = features.shape.slice(1);
    if (rows === count) return features;
    const [used] = tf.split(features, [count, rows - count]);
    features.dispose();
    return used;
  }

  /** Features of some rows, computed in a batch of `size`. */
  async #chunk(
    { images, height, width }: FeatureImages,
    rows: readonly number[],
    size: number,
  ): Promise<Float32Array[]> {
    const chosen = pick(images, rows, size, height * width * 3);
    return await this.#rowsOf({ images: chosen, height, width });
  }

  async #rowsOf(images: FeatureImages): Promise<Float32Array[]> {
    const features = await this.#compute(images);
    const rows = unstack(features);
    features.dispose();
    return rows;
  }

  /** Keeps what is new in computed features, and puts in what was known. */
  #merge(computed: tf.Tensor, indices: Uint32Array, cache: FeatureCache): tf.Tensor {
    const isKnown = Array.from(indices, (index) => cache.has(index));
    const rows = unstack(computed);
    rows.forEach((row, position) => cache.keep(indices[position], row));
    if (!isKnown.includes(true)) return computed;
    computed.dispose();
    return stack(rows.map((row, at) => isKnown[at] ? cache.get(indices[at])! : row), this.#shape!);
  }
}

/** Refuses rows of which there is neither an image nor features. */
function requireKept({ unread }: FeatureImages, indices: Uint32Array, cache: FeatureCache): void {
  for (const row of unread ?? []) {
    if (!cache.has(indices[row])) requireImages({ unread: new Set([row]) });
  }
}

/** A copy of some rows, `count` with black or grey images behind them. */
function pick(images: Images, rows: readonly number[], count: number, floats: number): Images {
  if (!(images instanceof Float32Array)) return images.pick(rows, count);
  const chosen = new Float32Array(count * floats);
  rows.forEach((row, position) =>
    chosen.set(images.subarray(row * floats, (row + 1) * floats), position * floats)
  );
  return chosen;
}

function unstack(features: tf.Tensor): Float32Array[] {
  const values = features.dataSync() as Float32Array;
  const size = values.length / features.shape[0];
  return Array.from(
    { length: features.shape[0] },
    (_, row) => values.subarray(row * size, (row + 1) * size),
  );
}

function stack(rows: readonly Float32Array[], shape: readonly number[]): tf.Tensor {
  const values = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, position) => values.set(row, position * row.length));
  return tensorFrom([rows.length, ...shape], "float32", new Uint8Array(values.buffer));
}

/** Tells whether two rows have the same bits. */
function equal(a: Float32Array, b: Float32Array): boolean {
  const [x, y] = [a, b].map(({ buffer, byteOffset, length }) =>
    new Uint32Array(buffer as ArrayBuffer, byteOffset, length)
  );
  return x.every((bits, position) => bits === y[position]);
}

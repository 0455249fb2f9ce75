/**
 * The way of a batch's images into a tensor: bytes are finished by the device.
 *
 * @module
 */
import { requireImages } from "../data/loading/loader.ts";
import type { Box } from "../data/codecs/rgb_image.ts";
import { type ByteImages, floatsFrom, type Images } from "../data/transforms/byte_images.ts";
import { BOX_BYTES, type DeviceTransforms } from "../data/transforms/device_transforms.ts";
import {
  chosen,
  chosenRows,
  floatsOfBytes,
  joined,
  part,
  reshaped,
  reversed,
} from "../engine/array_ops.ts";
import { nativeBackend } from "../engine/backend.ts";
import { CapturedFunction } from "../engine/capture/capture.ts";
import { tf } from "../engine/tf.ts";
import { bytesTensor, deviceBytes, deviceViewOf, tensorFrom } from "../engine/transfer.ts";
import { type Upload, Uploads } from "../engine/uploads.ts";

/** Bytes per pixel. */
const CHANNELS = 3;

/** Bytes of a batch below which a CPU finishes it in JavaScript: the call of a function would take as long. */
const MIN_CALL_BYTES = 2 ** 18;

/** A kind of mix: weighted sums of whole images, or a box of another image. */
type MixKind = "sum" | "box" | undefined;

/** Batches of images, and their size. */
export interface ImageBatch {
  readonly images: Images;
  readonly height: number;
  readonly width: number;
  /** Rows that hold no image. */
  readonly unread?: ReadonlySet<number>;
}

/**
 * Makes tensors of batches, with the bits of `ByteImages.floats`. What an image's transforms have drawn, and the
 * numbers that they work with, are inputs of a function that is captured once per shape; constants would let
 * TensorFlow turn divisions into multiplications.
 */
export class ImageStage implements Disposable {
  readonly #capture: boolean;
  readonly #minBytes: number;
  /** By what they do. */
  readonly #functions = new Map<string, CapturedFunction>();
  #uploads: Uploads | undefined;
  /** Copies of images on their way to the GPU, or there, in the order of their use. */
  readonly #preloaded = new Map<Images, Upload[]>();

  /**
   * @param capture `false` runs op by op
   * @param minBytes Bytes of a batch from which the device finishes it; by default 0 on a GPU, 256 KiB on a CPU
   */
  constructor(capture: boolean, minBytes = nativeBackend().runtime.hasGpu ? 0 : MIN_CALL_BYTES) {
    this.#capture = capture;
    this.#minBytes = minBytes;
  }

  /**
   * Returns the images as float32 [n, height, width, 3]; the caller disposes of them.
   *
   * @throws {RangeError} when a row holds no image
   */
  async tensorOf(batch: ImageBatch): Promise<tf.Tensor> {
    const { images } = batch;
    const address = await this.#preloaded.get(images)?.[0]?.arrived;
    if (images instanceof Float32Array) {
      if (address === undefined) return floatTensor(batch);
      requireImages(batch);
      return deviceViewOf(shapeOf(images, batch), address);
    }
    if (address === undefined && images.data.length < this.#minBytes) return floatTensor(batch);
    requireImages(batch);
    const { fn, inputs } = this.callOf(images, address);
    try {
      const [result] = await fn.call(inputs);
      return result;
    } finally {
      tf.dispose([...inputs]);
    }
  }

  /**
   * Begins to copy images to the GPU, beside what it computes. Their memory may be overwritten when the promise
   * resolves; {@linkcode tensorOf} then takes the copy.
   */
  async preload(images: Images): Promise<void> {
    const bytes = images instanceof Float32Array
      ? new Uint8Array(images.buffer, images.byteOffset, images.byteLength)
      : images.data;
    if (bytes.byteLength === 0) return;
    this.#uploads ??= new Uploads();
    const upload = this.#uploads.start(bytes);
    this.#preloaded.set(images, [...this.#preloaded.get(images) ?? [], upload]);
    await upload.staged;
  }

  /** Releases the first copy of preloaded images; the ops on it must be done. */
  release(images: Images): void {
    const [upload, ...later] = this.#preloaded.get(images) ?? [];
    upload?.release();
    if (later.length > 0) this.#preloaded.set(images, later);
    else this.#preloaded.delete(images);
  }

  /**
   * The function that finishes some images, and its inputs; the caller disposes of those before the images' memory is
   * written to again.
   *
   * @param address The images' copy on the GPU, where there is one
   */
  callOf(
    images: ByteImages,
    address?: bigint,
  ): { fn: CapturedFunction; inputs: readonly tf.Tensor[] } {
    const { transforms, mix, rows, data, count } = images;
    const kind: MixKind = mix && (mix.box ? "box" : "sum");
    const inputs = [
      address === undefined
        ? bytesTensor([rows, transforms.rowBytes], data)
        : deviceBytes([rows, transforms.rowBytes], address),
      numbersOf(images),
    ];
    return { fn: this.#functionFor(transforms, kind, count), inputs };
  }

  /** Releases the captured functions. */
  [Symbol.dispose](): void {
    for (const fn of this.#functions.values()) fn.dispose();
    this.#functions.clear();
    this.#uploads?.[Symbol.dispose]();
  }

  #functionFor(transforms: DeviceTransforms, kind: MixKind, count: number): CapturedFunction {
    const { size, mirrors, table, erasing } = transforms;
    const isNormalized = table.normalization !== undefined;
    const key = [
      size.join("x"),
      mirrors.join(""),
      isNormalized,
      erasing.length,
      kind,
      kind && count,
    ].join();
    const known = this.#functions.get(key);
    if (known) return known;
    const made = new CapturedFunction(
      "images",
      (data, numbers) => [
        new BatchWork({ size, mirrors, isNormalized, boxes: erasing.length, kind, count })
          .images(data, numbers),
      ],
      { variables: () => [], capture: this.#capture, random: false },
    );
    this.#functions.set(key, made);
    return made;
  }
}

/**
 * Returns the images as float32 [n, height, width, 3], bytes finished here: for single calls.
 *
 * @throws {RangeError} when a row holds no image
 */
export function floatTensor(batch: ImageBatch): tf.Tensor {
  requireImages(batch);
  const floats = floatsFrom(batch.images);
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  return tensorFrom(shapeOf(floats, batch), "float32", bytes);
}

function shapeOf(floats: Float32Array, { height, width }: ImageBatch): number[] {
  return [floats.length / (height * width * CHANNELS), height, width, CHANNELS];
}

/**
 * float32: 255, mean and standard deviation, the colours of erased boxes; of a mix the weights, the box (top, bottom,
 * left, right), and for each row whether it is mixed.
 */
function numbersOf({ transforms: { table, erasing }, mix }: ByteImages): tf.Tensor {
  const { mean, std } = table.normalization ?? { mean: [], std: [] };
  const numbers = [255, ...mean, ...std, ...erasing.flat()];
  if (mix) {
    numbers.push(mix.share, 1 - mix.share, ...edgesOf(mix.box), ...mix.mixed.map(Number));
  }
  const floats = Float32Array.from(numbers);
  return tensorFrom([floats.length], "float32", new Uint8Array(floats.buffer));
}

function edgesOf(box: Box | undefined): number[] {
  const { top, left, width, height } = box ?? { top: 0, left: 0, width: 0, height: 0 };
  return [top, top + height, left, left + width];
}

/** Edges of boxes, each float32 of one shape. */
interface Edges {
  readonly top: tf.Tensor;
  readonly bottom: tf.Tensor;
  readonly left: tf.Tensor;
  readonly right: tf.Tensor;
}

/** The work on a batch, whatever its numbers are. */
interface WorkPlan extends Pick<DeviceTransforms, "size" | "mirrors"> {
  readonly isNormalized: boolean;
  /** Boxes that an image may have. */
  readonly boxes: number;
  readonly kind: MixKind;
  /** Rows of the batch; there may be one more for mixing. */
  readonly count: number;
}

/**
 * The ops. Images are [rows, height, width · 3] on the way, and what depends on a pixel's place is [rows, height, 1]
 * or [rows, 1, width · 3]: kernels for CPUs take their time where the last axis is short.
 */
class BatchWork {
  readonly #plan: WorkPlan;

  constructor(plan: WorkPlan) {
    this.#plan = plan;
  }

  images(data: tf.Tensor, numbers: tf.Tensor): tf.Tensor {
    const { size: [height, width], kind, boxes, count } = this.#plan;
    const [rows, rowBytes] = data.shape, pixelBytes = height * width * CHANNELS;
    const hasParameters = rowBytes > pixelBytes;
    const take = taker(numbers);
    const byte = take(1), [mean, std] = this.#plan.isNormalized ? [take(3), take(3)] : [];
    const colours = Array.from({ length: boxes }, () => take(3));
    const columns = hasParameters ? columnsOf(part(data, "uint8", [pixelBytes, rowBytes], 1)) : [];

    let bytes = hasParameters ? part(data, "uint8", [0, pixelBytes], 1) : data;
    bytes = this.#mirrored(bytes, columns);
    bytes = reshaped(bytes, "uint8", [rows, height, width * CHANNELS]);
    // A box of another image is a box of its bytes as well, and these are fewer.
    const mixesBytes = kind === "box" && boxes === 0;
    if (mixesBytes) bytes = this.#mixedBox(bytes, "uint8", take);

    let floats = tf.div(floatsOfBytes(bytes), byte);
    const perValue = (colour: tf.Tensor) => tf.reshape(tf.tile(colour, [width]), [1, 1, -1]);
    if (mean && std) floats = tf.div(tf.sub(floats, perValue(mean)), perValue(std));
    for (const [index, colour] of colours.entries()) {
      const edges = edgesFrom(columns.slice(this.#plan.mirrors.length + index * BOX_BYTES));
      floats = chosen(inside(edges, floats), perValue(colour), floats, "float32");
    }
    if (kind === "box" && !mixesBytes) floats = this.#mixedBox(floats, "float32", take);
    if (kind === "sum") floats = this.#mixedSum(floats, take);
    return tf.reshape(floats, [kind ? count : rows, height, width, CHANNELS]);
  }

  #mirrored(pixels: tf.Tensor, columns: readonly tf.Tensor[]): tf.Tensor {
    const { size: [height, width], mirrors } = this.#plan;
    const [rows, pixelBytes] = pixels.shape;
    return mirrors.reduce((current, axis, index) => {
      // With three axes, the middle one reversed, the kernel for CPUs is quick.
      const shape = axis === "x"
        ? [rows * height, width, CHANNELS]
        : [rows, height, width * CHANNELS];
      const other = reversed(reshaped(current, "uint8", shape), "uint8", 1);
      const isMirrored = tf.greater(tf.reshape(columns[index], [rows, 1]), 0);
      return chosenRows(isMirrored, reshaped(other, "uint8", [rows, pixelBytes]), current);
    }, pixels);
  }

  #mixedSum(images: tf.Tensor, take: (count: number) => tf.Tensor): tf.Tensor {
    const own = take(1), other = take(1);
    take(4);
    const mixed = tf.reshape(take(this.#plan.count), [-1, 1, 1]);
    const unmixed = tf.sub(1, mixed);
    const { rows, partners } = this.#partners(images, "float32");
    // A row that isn't mixed has the weights 1 and 0.
    return tf.add(
      tf.mul(rows, tf.add(tf.mul(mixed, own), unmixed)),
      tf.mul(partners, tf.mul(mixed, other)),
    );
  }

  #mixedBox(
    images: tf.Tensor,
    type: "uint8" | "float32",
    take: (count: number) => tf.Tensor,
  ): tf.Tensor {
    take(2);
    const [top, bottom, left, right] = [take(1), take(1), take(1), take(1)];
    const mixed = tf.reshape(take(this.#plan.count), [-1, 1, 1]);
    const { rows, partners } = this.#partners(images, type);
    const isInside = inside({ top, bottom, left, right }, rows);
    return chosen(tf.logicalAnd(isInside, tf.greater(mixed, 0)), partners, rows, type);
  }

  /** The batch's rows, and the row before each of them. */
  #partners(images: tf.Tensor, type: "uint8" | "float32") {
    const { count } = this.#plan;
    const [all] = images.shape;
    const last = part(images, type, [all - 1, all]);
    const rows = all > count ? part(images, type, [0, count]) : images;
    const partners = count === 1 ? last : joined(last, part(images, type, [0, count - 1]), type);
    return { rows, partners };
  }
}

/** The bytes of all images' parameters, one by one, as float32 [rows, 1, 1]. */
function columnsOf(parameters: tf.Tensor): tf.Tensor[] {
  const [rows, bytes] = parameters.shape;
  return tf.split(floatsOfBytes(parameters), bytes, 1)
    .map((column) => tf.reshape(column, [rows, 1, 1]));
}

/** Takes one part of a vector after the other. */
function taker(vector: tf.Tensor): (count: number) => tf.Tensor {
  let next = 0;
  return (count) => part(vector, "float32", [next, next += count]);
}

/** Reads boxes of parameters: 16 bits for each edge, the lower ones first. */
function edgesFrom(columns: readonly tf.Tensor[]): Edges {
  const [top, bottom, left, right] = [0, 2, 4, 6].map((at) =>
    tf.add(columns[at], tf.mul(columns[at + 1], 256))
  );
  return { top, bottom, left, right };
}

/** Tells of each value of images [rows, height, width · 3] whether it is in its image's box. */
function inside({ top, bottom, left, right }: Edges, images: tf.Tensor): tf.Tensor {
  const [, height, values] = images.shape;
  const y = tf.reshape(tf.range(0, height), [1, height, 1]);
  const x = tf.tensor3d(
    Float32Array.from({ length: values }, (_, at) => Math.floor(at / CHANNELS)),
    [1, 1, values],
  );
  return tf.logicalAnd(between(y, top, bottom), between(x, left, right));
}

function between(place: tf.Tensor, from: tf.Tensor, to: tf.Tensor): tf.Tensor {
  return tf.logicalAnd(tf.greaterEqual(place, from), tf.less(place, to));
}

/**
 * torchvision's transforms on 8-bit pictures, and the way of the result into a batch of floats.
 *
 * For the same parameters (which crop, flipped or not) the pixels are torchvision's to the bit; which
 * parameters are drawn is decided by Lockstep's keyed randomness.
 *
 * @module
 */
import { randomInt, type RandomStream } from "../base/random.ts";
import { LockstepError } from "../base/errors.ts";
import { resizeRgb } from "./resize.ts";
import { type Box, cropRgb, flipRgb, type RgbImage } from "./rgb_image.ts";
import { outputSize, resizedSize, type Size, type TransformSpec } from "./transform_specs.ts";

/** A long thin picture, resized by its shorter side, may grow beyond all memory; this stops it. */
const MAX_RESIZED_PIXELS = 100_000_000;

/** Tries of RandomResizedCrop to find a box that fits, as in torchvision. */
const CROP_TRIES = 10;

/** One transform, ready to run. */
type Transform = (image: RgbImage, random: RandomStream) => RgbImage;

/**
 * A list of transforms, ready to run. The first ones up to the first random one make `prepare`, whose
 * result may be kept for other epochs; `apply` does the rest.
 *
 * @example
 * ```ts
 * import { randomStream } from "../base/random.ts";
 * import { TransformPipeline } from "./transforms.ts";
 * const pipeline = new TransformPipeline([{ Resize: { size: 32 } }, { CenterCrop: { size: [32, 32] } }]);
 * const image = { width: 64, height: 48, data: new Uint8Array(64 * 48 * 3) };
 * const batch = new Float32Array(pipeline.floats);
 * pipeline.apply(pipeline.prepare(image), randomStream(0, "augment", 0, 7), batch, 0);
 * ```
 */
export class TransformPipeline {
  /** Height and width of what comes out. */
  readonly size: Size;
  /** Floats of one picture: height × width × 3. */
  readonly floats: number;
  /** What is the same in each epoch. */
  readonly #fixed: Transform[];
  readonly #random: Transform[];
  /** The float of each byte, for red, green and blue. */
  readonly #floatOf: Float32Array;

  /** @throws {RangeError} when the size of what comes out depends on the picture */
  constructor(specs: readonly TransformSpec[]) {
    const size = outputSize(specs);
    if (!size) throw new RangeError("The transforms give pictures of different sizes");
    this.size = size;
    this.floats = size[0] * size[1] * 3;
    const firstRandom = specs.findIndex(isRandom);
    const split = firstRandom < 0 ? specs.length : firstRandom;
    this.#fixed = specs.slice(0, split).flatMap(transformOf);
    this.#random = specs.slice(split).flatMap(transformOf);
    this.#floatOf = floatTable(specs);
  }

  /**
   * Runs the transforms before the first random one.
   *
   * @throws {LockstepError} when the picture would become too large
   */
  prepare(image: RgbImage): RgbImage {
    return this.#fixed.reduce((current, transform) => transform(current, notRandom), image);
  }

  /**
   * Runs the other transforms, and stops short of the floats.
   *
   * @param random Draws the parameters: a stream of its own for each (seed, epoch, sample)
   * @throws {LockstepError} when the picture would become too large
   */
  augment(prepared: RgbImage, random: RandomStream): RgbImage {
    return this.#random.reduce((current, transform) => transform(current, random), prepared);
  }

  /**
   * Runs the other transforms and writes the picture as floats, [height, width, 3].
   *
   * @param random Draws the parameters: a stream of its own for each (seed, epoch, sample)
   * @param target A batch
   * @param offset Where the picture's {@linkcode floats} begin in it
   * @throws {LockstepError} when the picture would become too large
   */
  apply(prepared: RgbImage, random: RandomStream, target: Float32Array, offset: number): void {
    const { data } = this.augment(prepared, random);
    const table = this.#floatOf;
    for (let i = 0; i < data.length; i += 3) {
      target[offset + i] = table[data[i]];
      target[offset + i + 1] = table[256 + data[i + 1]];
      target[offset + i + 2] = table[512 + data[i + 2]];
    }
  }
}

/**
 * The box that RandomResizedCrop draws: `scale` of the area and `ratio` of the sides at random, at a random
 * place; after ten misses the largest box in the middle whose ratio is allowed.
 *
 * @param image The picture's size
 * @param scale Least and most of the area
 * @param ratio Least and most width divided by height; drawn evenly on a logarithmic scale
 */
export function randomResizedCropBox(
  image: { width: number; height: number },
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: RandomStream,
): Box {
  const logRatio = ratio.map(Math.log);
  for (let tries = 0; tries < CROP_TRIES; tries++) {
    const area = image.width * image.height * between(scale[0], scale[1], random);
    const aspect = Math.exp(between(logRatio[0], logRatio[1], random));
    const width = roundHalfEven(Math.sqrt(area * aspect));
    const height = roundHalfEven(Math.sqrt(area / aspect));
    if (width > 0 && width <= image.width && height > 0 && height <= image.height) {
      const top = randomInt(random, image.height - height + 1);
      const left = randomInt(random, image.width - width + 1);
      return { left, top, width, height };
    }
  }
  const own = image.width / image.height;
  let { width, height } = image;
  if (own < ratio[0]) height = Math.max(1, roundHalfEven(width / ratio[0]));
  else if (own > ratio[1]) width = Math.max(1, roundHalfEven(height * ratio[1]));
  return {
    left: Math.floor((image.width - width) / 2),
    top: Math.floor((image.height - height) / 2),
    width,
    height,
  };
}

/**
 * The box that CenterCrop takes; where the picture is smaller, it reaches outside.
 *
 * @param size Height and width of the box
 */
export function centerCropBox(image: { width: number; height: number }, size: Size): Box {
  const [height, width] = size;
  return {
    left: centered(image.width, width),
    top: centered(image.height, height),
    width,
    height,
  };
}

/** torchvision rounds a half to the even pixel when it cuts, and down when it pads. */
function centered(whole: number, part: number): number {
  return part > whole ? -Math.floor((part - whole) / 2) : roundHalfEven((whole - part) / 2);
}

function isRandom(spec: TransformSpec): boolean {
  return "RandomResizedCrop" in spec || "RandomHorizontalFlip" in spec;
}

function transformOf(spec: TransformSpec): Transform[] {
  if ("RandomResizedCrop" in spec) {
    const { size: [height, width], scale, ratio } = spec.RandomResizedCrop;
    return [
      (image, random) =>
        resizeRgb(image, width, height, randomResizedCropBox(image, scale, ratio, random)),
    ];
  }
  if ("RandomHorizontalFlip" in spec) {
    const { p } = spec.RandomHorizontalFlip;
    return [(image, random) => random() < p ? flipRgb(image) : image];
  }
  if ("Resize" in spec) {
    const { size } = spec.Resize;
    return [(image) => resize(image, size)];
  }
  if ("CenterCrop" in spec) {
    const { size } = spec.CenterCrop;
    return [(image) => cropRgb(image, centerCropBox(image, size))];
  }
  return []; // Normalize is the float table.
}

function resize(image: RgbImage, size: number | Size): RgbImage {
  const [height, width] = typeof size === "number"
    ? resizedSize([image.height, image.width], size)
    : size;
  if (width * height > MAX_RESIZED_PIXELS) {
    throw new LockstepError(
      `Resize would make its ${image.width} × ${image.height} pixels ${width} × ${height}`,
    );
  }
  return resizeRgb(image, width, height);
}

/** x / 255, less the mean, divided by the standard deviation: each step rounded to 32 bits as in PyTorch. */
function floatTable(specs: readonly TransformSpec[]): Float32Array {
  const last = specs.at(-1);
  const normalize = last && "Normalize" in last ? last.Normalize : undefined;
  const table = new Float32Array(3 * 256);
  for (let channel = 0; channel < 3; channel++) {
    for (let byte = 0; byte < 256; byte++) {
      let value = Math.fround(byte / 255);
      if (normalize) {
        const centered = Math.fround(value - Math.fround(normalize.mean[channel]));
        value = centered / Math.fround(normalize.std[channel]);
      }
      table[channel * 256 + byte] = value;
    }
  }
  return table;
}

function between(low: number, high: number, random: RandomStream): number {
  return low + (high - low) * random();
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

const notRandom: RandomStream = () => {
  throw new Error("A transform before the first random one drew a random number");
};

/**
 * torchvision's transforms on 8-bit images, and the way of the result into a batch of floats.
 *
 * For the same parameters (which crop, flipped or not) the pixels are torchvision's to the bit; which
 * parameters are drawn is decided by Lockstep's keyed randomness.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import type { RandomStream } from "../../base/random.ts";
import type { Box, RgbImage } from "../codecs/rgb_image.ts";
import { outputSize } from "./transform_specs.ts";
import type { Size } from "./arguments.ts";
import type { Images } from "./byte_images.ts";
import {
  BOX_BYTES,
  type DeviceTransforms,
  normalizationOf,
  planDevice,
  writeBox,
} from "./device_transforms.ts";
import { FloatTable } from "./normalize.ts";
import { partsOf, type TransformSpec } from "./table.ts";
import type { FloatImage, Transform } from "./transform.ts";

/** A transform of images, ready to run. */
type ImageStep = (image: RgbImage, random: RandomStream) => RgbImage;

/** A random transform of images; where the device may mirror instead, with the decision alone. */
interface RandomStep {
  readonly run: ImageStep;
  readonly mirror?: { readonly column: number; readonly draw: (random: RandomStream) => boolean };
}

/** Draws the box that is erased. */
type BoxDraw = (random: RandomStream) => Box | undefined;

/** A transform of floats, ready to run. */
type FloatStep = (image: FloatImage, random: RandomStream) => void;

/**
 * A list of transforms, ready to run. The first ones up to the first random one make `prepare`, whose
 * result may be kept for other epochs; `apply` does the rest.
 *
 * @example
 * ```ts
 * import { randomStream } from "../../base/random.ts";
 * import { TransformPipeline } from "./transforms.ts";
 * const pipeline = new TransformPipeline([{ Resize: { size: 32 } }, { CenterCrop: { size: [32, 32] } }]);
 * const image = { width: 64, height: 48, data: new Uint8Array(64 * 48 * 3) };
 * const batch = new Float32Array(pipeline.floats);
 * pipeline.apply(pipeline.prepare(image), randomStream(0, "augment", 0, 7), batch, 0);
 * ```
 */
export class TransformPipeline {
  /** The transforms, as plain data. */
  readonly specs: readonly TransformSpec[];
  /** The transforms that {@linkcode prepare} runs: those of 8-bit pixels, up to the first random one. */
  readonly fixedSpecs: readonly TransformSpec[];
  /** Height and width of what comes out. */
  readonly size: Size;
  /** Floats of one image: height × width × 3. */
  readonly floats: number;
  /** The last transforms, where the device can do them: then {@linkcode applyBytes} does the others. */
  readonly device: DeviceTransforms | undefined;
  /** The steps that are the same in each epoch. */
  readonly #fixed: ImageStep[];
  readonly #random: RandomStep[];
  /** The first transform, when all that it needs of an image is a part that it draws. */
  readonly #cut: { transform: Transform<unknown>; args: unknown } | undefined;
  readonly #table: FloatTable;
  readonly #onFloats: FloatStep[];
  readonly #boxes: BoxDraw[];

  /** @throws {RangeError} when the size of what comes out depends on the image */
  constructor(specs: readonly TransformSpec[]) {
    const size = outputSize(specs);
    if (!size) throw new RangeError("The transforms give images of different sizes");
    this.specs = specs;
    this.size = size;
    this.floats = size[0] * size[1] * 3;
    const firstRandom = specs.findIndex((spec) => partsOf(spec).transform.random);
    const split = firstRandom < 0 ? specs.length : firstRandom;
    this.fixedSpecs = specs.slice(0, split)
      .filter((spec) => partsOf(spec).transform.onImage !== undefined);
    this.#fixed = this.fixedSpecs.flatMap(imageStepOf);
    const plan = planDevice(specs, size);
    this.device = plan?.device;
    this.#random = specs.slice(split).flatMap((spec) => randomStepOf(spec, plan));
    const [first] = specs.map(partsOf);
    this.#cut = first?.transform.part ? first : undefined;
    this.#table = plan?.device.table ?? new FloatTable(normalizationOf(specs));
    this.#onFloats = specs.flatMap(floatStepOf);
    this.#boxes = specs.flatMap((spec) => boxOf(spec, size));
  }

  /**
   * Runs the transforms before the first random one.
   *
   * @throws {LockstepError} when this image can't be used
   */
  prepare(image: RgbImage): RgbImage {
    if (image.ready) return image;
    return this.#fixed.reduce((current, step) => step(current, notRandom), image);
  }

  /** True if {@linkcode part} says all that is needed of an image. */
  get cuts(): boolean {
    return this.#cut !== undefined;
  }

  /**
   * Draws the part of an image that the first transform takes: an image's stream goes on from here.
   *
   * @param size Of the whole, upright image
   * @returns Nothing when more than a part is needed
   */
  part(size: { width: number; height: number }, random: RandomStream): Box | undefined {
    if (!this.#cut) return undefined;
    const { transform, args } = this.#cut;
    return transform.part!(size, args, random);
  }

  /**
   * Runs the other transforms and writes the image as floats, [height, width, 3].
   *
   * @param random Draws the parameters: a stream of its own for each (seed, epoch, sample)
   * @param target A batch
   * @param offset Where the image's {@linkcode floats} begin in it
   * @param cut Whether it is what {@linkcode part} has drawn rather than the whole
   * @throws {LockstepError} when this image can't be used
   */
  apply(
    prepared: RgbImage,
    random: RandomStream,
    target: Float32Array,
    offset: number,
    cut = false,
  ): void {
    if (prepared.ready) {
      this.requireSize(prepared);
      target.set(prepared.ready, offset);
      return;
    }
    let image = prepared;
    for (const [index, { run }] of this.#random.entries()) {
      image = this.#step(index, run, image, random, cut);
    }
    this.#table.write(image, target, offset);
    if (this.#onFloats.length === 0) return;
    const [height, width] = this.size;
    const data = target.subarray(offset, offset + this.floats);
    for (const step of this.#onFloats) step({ width, height, data }, random);
  }

  /**
   * Runs the other transforms but for those of {@linkcode device}, and writes the image as bytes. Draws the same
   * random numbers as {@linkcode apply}.
   *
   * @param prepared Bytes; one with floats of its own goes to {@linkcode apply}
   * @param target [{@linkcode DeviceTransforms.rowBytes}]: pixels and parameters
   * @throws {LockstepError} when this image can't be used
   */
  applyBytes(
    prepared: RgbImage,
    random: RandomStream,
    target: Uint8Array,
    cut = false,
  ): void {
    const { mirrors, pixelBytes } = this.device!;
    const parameters = target.subarray(pixelBytes).fill(0);
    let image = prepared;
    for (const [index, { run, mirror }] of this.#random.entries()) {
      if (!mirror) image = this.#step(index, run, image, random, cut);
      else if (mirror.draw(random)) parameters[mirror.column]! ^= 1;
    }
    target.set(image.data);
    for (const [index, draw] of this.#boxes.entries()) {
      const box = draw(random);
      if (box) writeBox(parameters, mirrors.length + index * BOX_BYTES, box);
    }
  }

  /**
   * Returns the result of {@linkcode apply} as 8-bit pixels again, with the nearest colours: for people.
   *
   * @param random Draws the parameters: a stream of its own for each (seed, epoch, sample)
   * @param cut Whether it is what {@linkcode part} has drawn rather than the whole
   * @throws {LockstepError} when this image can't be used
   */
  augment(prepared: RgbImage, random: RandomStream, cut = false): RgbImage {
    const data = new Float32Array(this.floats);
    this.apply(prepared, random, data, 0, cut);
    return this.imageAt(data, 0);
  }

  /** A row of a batch's images as 8-bit pixels again, with the nearest colours: for people. */
  imageAt(images: Images, row: number): RgbImage {
    const [height, width] = this.size;
    const data = images instanceof Float32Array
      ? images.subarray(row * this.floats, (row + 1) * this.floats)
      : images.slice(row, row + 1).floats();
    return this.#table.bytesOf({ width, height, data });
  }

  #step(index: number, run: ImageStep, image: RgbImage, random: RandomStream, cut: boolean) {
    const begun = cut && index === 0 && this.#cut;
    return begun ? begun.transform.onPart!(image, begun.args) : run(image, random);
  }

  /**
   * Makes sure that an image with floats of its own has the size of the others.
   *
   * @throws {LockstepError} when it hasn't
   */
  requireSize({ width, height }: RgbImage): void {
    if (height === this.size[0] && width === this.size[1]) return;
    throw new LockstepError(
      `its ${height} × ${width} floats are taken as they are, but the transforms make ${
        this.size.join(" × ")
      } (height × width): give that size, or bytes for the transforms to work on`,
    );
  }
}

function imageStepOf(spec: TransformSpec): ImageStep[] {
  const { transform, args } = partsOf(spec);
  if (!transform.onImage) return [];
  return [(image, random) => transform.onImage!(image, args, random)];
}

function randomStepOf(
  spec: TransformSpec,
  plan: ReturnType<typeof planDevice>,
): RandomStep[] {
  const { transform: { mirror }, args } = partsOf(spec);
  return imageStepOf(spec).map((run) => {
    if (!mirror || !plan?.deferred.has(spec)) return { run };
    const column = plan.device.mirrors.indexOf(mirror.axis);
    return { run, mirror: { column, draw: (random) => mirror.draw(args, random) } };
  });
}

function boxOf(spec: TransformSpec, size: Size): BoxDraw[] {
  const { transform: { erase }, args } = partsOf(spec);
  return erase ? [(random) => erase.draw(args, size, random)] : [];
}

function floatStepOf(spec: TransformSpec): FloatStep[] {
  const { transform, args } = partsOf(spec);
  if (!transform.onFloats) return [];
  return [(image, random) => transform.onFloats!(image, args, random)];
}

const notRandom: RandomStream = () => {
  throw new Error("A transform before the first random one drew a random number");
};

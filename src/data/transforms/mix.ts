/**
 * MixUp (Zhang et al., 2017) and CutMix (Yun et al., 2019): each row of a batch takes something of the row
 * before it, its partner; the first row's partner is the last one. As in torchvision's `transforms.v2`.
 *
 * One mix is drawn for a whole step. It is a function of (seed, epoch, step), and a row's partner of the
 * order of the samples in that step, so rows come out the same however many ranks share them.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { randomInt, randomNormal, type RandomStream } from "../../base/random.ts";
import { namedSchema } from "../../base/named_specs.ts";
import type { Box } from "../codecs/rgb_image.ts";
import type { Size } from "./arguments.ts";

const alpha = float32().positive("give a number above 0, such as 0.2").default(1).describe(
  "Both parameters of the Beta distribution of the share of the own label.",
);
const schema = z.strictObject({ alpha });

/** The mixes that a config may name. */
const MIXES = {
  MixUp: {
    schema: schema.describe("Weighted means of the pixels and labels of two images."),
    shorthand: "alpha",
  },
  CutMix: {
    schema: schema.describe("A box of another image's pixels, labels in proportion to the areas."),
    shorthand: "alpha",
  },
};

/** One validated mix: Beta(alpha, alpha) is the distribution of the own label's share. */
export type MixSpec = { MixUp: { alpha: number } } | { CutMix: { alpha: number } };

/** A list of mixes, of which each step takes one; what comes out has the long form. */
export const mixesSchema = z.array(
  namedSchema<MixSpec>("mix", "{ MixUp: 0.2 }", MIXES),
  "give a list, such as [{ MixUp: 0.2 }, { CutMix: 1 }]",
);

/** The mix of one step. */
export interface Mix {
  /** The weight of a row's own label, 0 … 1; the rest is its partner's. */
  readonly share: number;
  /** The part that the partner's pixels replace; without it pixels are weighted like labels. */
  readonly box?: Box;
}

/** The mix that was applied to a batch. */
export interface BatchMix {
  /** [n], the partners' labels; a row that was left as it is has its own. */
  readonly partnerLabels: Int32Array<ArrayBuffer>;
  /** The weight of each row's own label, 0 … 1; the rest is the partner's. */
  readonly share: number;
}

/**
 * Draws what a step does.
 *
 * @param mixes The mixes to choose from, all as likely
 * @param size Height and width of the images
 * @returns Nothing when there is nothing to choose from
 */
export function drawMix(
  mixes: readonly MixSpec[],
  size: Size,
  random: RandomStream,
): Mix | undefined {
  if (mixes.length === 0) return undefined;
  const chosen = mixes[randomInt(random, mixes.length)]!;
  if ("MixUp" in chosen) return { share: randomBeta(chosen.MixUp.alpha, random) };
  const share = randomBeta(chosen.CutMix.alpha, random);
  const [height, width] = size;
  return cutMixAt(size, share, randomInt(random, width), randomInt(random, height));
}

/**
 * CutMix's box: its middle at a point of the image, its area 1 − `share` of the image's; what reaches
 * outside is cut off, and the share becomes what is left over.
 */
export function cutMixAt(
  [height, width]: Size,
  share: number,
  x: number,
  y: number,
): Required<Mix> {
  const ratio = 0.5 * Math.sqrt(1 - share);
  const halfWidth = Math.trunc(ratio * width), halfHeight = Math.trunc(ratio * height);
  const left = Math.max(x - halfWidth, 0), right = Math.min(x + halfWidth, width);
  const top = Math.max(y - halfHeight, 0), bottom = Math.min(y + halfHeight, height);
  const box = { left, top, width: right - left, height: bottom - top };
  return { box, share: 1 - (box.width * box.height) / (width * height) };
}

/**
 * Mixes a row of a batch with another one, in its place.
 *
 * @param images [rows, height, width, 3]
 * @param size Height and width
 */
export function mixRow(
  images: Float32Array,
  [height, width]: Size,
  row: number,
  partner: number,
  { share, box }: Mix,
): void {
  const floats = height * width * 3;
  const from = partner * floats, to = row * floats;
  if (box) {
    for (let y = box.top; y < box.top + box.height; y++) {
      const first = (y * width + box.left) * 3;
      images.copyWithin(to + first, from + first, from + first + box.width * 3);
    }
    return;
  }
  const own = Math.fround(share), other = Math.fround(1 - share);
  for (let i = 0; i < floats; i++) {
    images[to + i] = Math.fround(images[to + i]! * own) + Math.fround(images[from + i]! * other);
  }
}

/**
 * Mixes rows of a rank's share with the row before each, in their places.
 *
 * @param images [rows + 1, height, width, 3]: behind the share stands the row before its first one
 * @param size Height and width
 * @param mixed [rows]: whether to mix a row, as from {@linkcode mixableRows}
 */
export function mixRows(
  images: Float32Array,
  size: Size,
  mixed: readonly boolean[],
  mix: Mix,
): void {
  // From the end, so that partners are still as they were.
  for (let row = mixed.length - 1; row >= 0; row--) {
    if (mixed[row]) mixRow(images, size, row, row === 0 ? mixed.length : row - 1, mix);
  }
}

/**
 * Tells which rows of a rank's share can be mixed.
 *
 * @param usable [rows + 1]: whether there is an image; the last one is that of the row before the first one
 * @returns [rows]
 */
export function mixableRows(usable: readonly boolean[]): boolean[] {
  const rows = usable.length - 1;
  return Array.from(
    { length: rows },
    (_, row) => Boolean(usable[row] && usable[row === 0 ? rows : row - 1]),
  );
}

/**
 * A number distributed as Beta(alpha, alpha), 0 … 1.
 *
 * @param alpha Above 0: below 1 the ends are likely, above 1 the middle
 */
export function randomBeta(alpha: number, random: RandomStream): number {
  // A gamma variate of a shape below 1 is one of shape + 1 times u^(1/shape), of which small shapes leave
  // nothing: its logarithm is kept instead.
  const draw = () => ({
    log: Math.log(randomGamma(alpha < 1 ? alpha + 1 : alpha, random)),
    power: alpha < 1 ? Math.log(1 - random()) : 0,
  });
  const own = draw(), other = draw();
  return 1 / (1 + Math.exp(other.log - own.log + (other.power - own.power) / alpha));
}

/**
 * A number with a gamma distribution of scale 1 (Marsaglia and Tsang, "A simple method for generating gamma
 * variables", 2000).
 *
 * @param shape 1 or more: the mean and the variance
 */
export function randomGamma(shape: number, random: RandomStream): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  while (true) {
    const normal = randomNormal(random);
    const v = (1 + c * normal) ** 3;
    if (v <= 0) continue;
    const bound = normal * normal / 2 + d - d * v + d * Math.log(v);
    if (Math.log(1 - random()) < bound) return d * v;
  }
}

/**
 * A 64-bit number that stays nearly the same when an image is resized, recompressed or slightly changed:
 * the perceptual hash of low frequencies (Zauner, Implementation and Benchmarking of Perceptual Image Hash
 * Functions, 2010).
 *
 * The image is shrunk to 32 × 32 grey levels; of its cosine transform the 64 lowest frequencies count, without
 * the constant one: a bit each, set where the coefficient is above the median. Flat colours and the constant
 * don't matter, so brighter and darker copies are found too.
 *
 * @module
 */
import { resizeRgb } from "../data/resizing/resize.ts";
import type { RgbImage } from "../data/codecs/rgb_image.ts";

const SIDE = 32;
const BITS = 64;

/** The hash by which images are compared. */
export interface PerceptualHash {
  /** 64 bits, as 16 hexadecimal digits. */
  readonly bits: string;
  /** Standard deviation of the small image's grey levels, 0–255: of a plain one the bits are noise. */
  readonly contrast: number;
}

/** Frequencies along y and x, the lowest first: all of a diagonal before the next. */
const FREQUENCIES: readonly (readonly [number, number])[] = lowestFrequencies();
/** One more than the highest of them along an axis. */
const USED = 1 + Math.max(...FREQUENCIES.map(([v, u]) => Math.max(u, v)));
/** `COSINES[u * SIDE + x]`: the transform's basis (DCT-II), each row of length 1. */
const COSINES = cosines();

/** Hashes an upright image. */
export function perceptualHash(image: RgbImage): PerceptualHash {
  const grey = greyOf(resizeRgb(image, SIDE, SIDE));
  const coefficients = lowCoefficients(grey);
  const median = [...coefficients].sort((a, b) => a - b)[BITS / 2];
  let bits = 0n;
  for (const value of coefficients) bits = bits << 1n | (value >= median ? 1n : 0n);
  return { bits: bits.toString(16).padStart(BITS / 4, "0"), contrast: deviationOf(grey) };
}

/** Bits in which two hashes differ. */
export function hashDistance(a: string, b: string): number {
  let difference = BigInt(`0x${a}`) ^ BigInt(`0x${b}`);
  let count = 0;
  for (; difference > 0n; difference &= difference - 1n) count++;
  return count;
}

/** Luma as JPEG has it (ITU-R BT.601). */
function greyOf({ data }: RgbImage): Float64Array {
  const grey = new Float64Array(SIDE * SIDE);
  for (let pixel = 0, at = 0; pixel < grey.length; pixel++, at += 3) {
    grey[pixel] = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  }
  return grey;
}

/** Along x, then along y; only the frequencies that are used. */
function lowCoefficients(grey: Float64Array): Float64Array {
  const alongX = new Float64Array(SIDE * USED);
  for (let y = 0; y < SIDE; y++) {
    for (let u = 0; u < USED; u++) {
      let sum = 0;
      for (let x = 0; x < SIDE; x++) sum += grey[y * SIDE + x] * COSINES[u * SIDE + x];
      alongX[y * USED + u] = sum;
    }
  }
  return Float64Array.from(FREQUENCIES, ([v, u]) => {
    let sum = 0;
    for (let y = 0; y < SIDE; y++) sum += alongX[y * USED + u] * COSINES[v * SIDE + y];
    return sum;
  });
}

function deviationOf(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / values.length);
}

function lowestFrequencies(): [number, number][] {
  const found: [number, number][] = [];
  for (let diagonal = 1; found.length < BITS; diagonal++) {
    for (let v = 0; v <= diagonal && found.length < BITS; v++) found.push([v, diagonal - v]);
  }
  return found;
}

function cosines(): Float64Array {
  const table = new Float64Array(USED * SIDE);
  for (let u = 0; u < USED; u++) {
    const scale = Math.sqrt((u === 0 ? 1 : 2) / SIDE);
    for (let x = 0; x < SIDE; x++) {
      table[u * SIDE + x] = scale * Math.cos(Math.PI * u * (2 * x + 1) / (2 * SIDE));
    }
  }
  return table;
}

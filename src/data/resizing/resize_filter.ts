/**
 * The filters of Pillow's resizing, by the names that torchvision has for them (`InterpolationMode`).
 *
 * @module
 */

/** Weights around a position that decide an output pixel. */
export interface ResizeFilter {
  /** The filter's reach to either side, in pixels of the coarser image. */
  readonly support: number;
  /** The weight at a distance, in the same pixels. */
  weight(x: number): number;
}

const box: ResizeFilter = { support: 0.5, weight: (x) => x > -0.5 && x <= 0.5 ? 1 : 0 };

const bilinear: ResizeFilter = { support: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) };

/** Pillow has these two as 32-bit floats. */
const HAMMING = [Math.fround(0.54), Math.fround(0.46)] as const;

const hamming: ResizeFilter = {
  support: 1,
  weight(x) {
    const distance = Math.abs(x);
    if (distance === 0) return 1;
    if (distance >= 1) return 0;
    return sinc(distance) * (HAMMING[0] + HAMMING[1] * Math.cos(distance * Math.PI));
  },
};

/** Keys' cubic convolution with a = −0.5 (IEEE Trans. ASSP 29, 1981). */
const bicubic: ResizeFilter = {
  support: 2,
  weight(x) {
    const a = -0.5, distance = Math.abs(x);
    if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
    if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
    return 0;
  },
};

const lanczos: ResizeFilter = {
  support: 3,
  weight: (x) => x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0,
};

function sinc(x: number): number {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}

/** The filters that weigh pixels. */
export const FILTERS = { bilinear, bicubic, box, hamming, lanczos };

/** Name of a filter. */
export type FilterName = keyof typeof FILTERS;

/** Names that stand for the nearest pixel; of PIL images torchvision makes no difference between the two. */
export const NEAREST = ["nearest", "nearest-exact"] as const;

/** Ways to resize, by torchvision's names. */
export const INTERPOLATIONS = [
  "nearest",
  "nearest-exact",
  "bilinear",
  "bicubic",
  "box",
  "hamming",
  "lanczos",
] as const satisfies readonly (FilterName | (typeof NEAREST)[number])[];

/** A way to resize. */
export type Interpolation = (typeof INTERPOLATIONS)[number];

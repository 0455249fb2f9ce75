/**
 * The findings about one image.
 *
 * @module
 */
import { endingOf, JPEG_ENDINGS } from "../data/datasets/image_files.ts";
import { type ImageFormat, NAMES } from "../data/codecs/image_header.ts";
import type { ImageFacts } from "./inspect_image.ts";
import type { Finding, FindingKind } from "./kinds.ts";

/** Pixels of the shorter side below which an image is tiny: several networks take no smaller ones (VGG, DenseNet). */
export const TINY_SIDE = 32;
/** Pixels above which an image is huge. */
export const HUGE_PIXELS = 25_000_000;
/** Longer side over the shorter one from which on an image is elongated. */
export const LONG_RATIO = 5;
/** Grey levels' deviation below which an image is plain. */
export const PLAIN_CONTRAST = 3;

/** Endings of the formats' files. */
const ENDINGS: Record<ImageFormat, readonly string[]> = {
  jpeg: JPEG_ENDINGS,
  png: [".png"],
  gif: [".gif"],
  bmp: [".bmp"],
  webp: [".webp"],
};

/** Tells whether an image can be compared with others by its hash. */
export function isComparable({ hash }: ImageFacts): boolean {
  return hash !== undefined && hash.contrast >= PLAIN_CONTRAST;
}

/**
 * The findings about one image by itself.
 *
 * @param path Relative to the root
 * @param said What the decoder's library printed
 */
export function judgeImage(path: string, facts: ImageFacts, said?: string): Finding[] {
  const found: Finding[] = [];
  const find = (kind: FindingKind, detail = "") => found.push({ kind, files: [path], detail });
  const { problem, format, width = 0, height = 0, traits } = facts;
  if (problem) find(problem.kind, problem.detail);
  else if (said) find("inside", said);
  if (format && !ENDINGS[format].includes(endingOf(path))) {
    find("wrongEnding", `its content is ${NAMES[format]}`);
  }
  if (problem) return found;
  const size = `${width} × ${height} pixels`;
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  if (shorter < TINY_SIDE) find("tiny", size);
  if (longer >= LONG_RATIO * shorter) find("elongated", size);
  if (width * height > HUGE_PIXELS) find("huge", size);
  if (!isComparable(facts)) find("plain");
  for (const trait of traits) find(trait);
  return found;
}

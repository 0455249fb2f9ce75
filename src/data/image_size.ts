/**
 * Another size for a recipe's images.
 *
 * @module
 */
import type { Size } from "./transforms/arguments.ts";
import { outputSize } from "./transforms/transform_specs.ts";
import { partsOf, type TransformSpec } from "./transforms/table.ts";

/** Transforms that make a part of an image as large as they say, whatever its size. */
const RESIZING = ["Resize", "RandomResizedCrop"];

/** Arguments in pixels, of all transforms. */
const IN_PIXELS = ["size", "maxSize", "padding"];

/**
 * Transforms whose images are squares of `side` pixels: all sizes are multiplied by the same factor, so that `Resize`
 * and crop keep their ratio.
 *
 * @param specs A validated list
 * @param isTiny Whether images are as small as CIFAR-10's: a list that doesn't resize gets a `Resize` before it
 * @returns The new list, or a sentence's end that says why there is none
 */
export function withImageSize(
  specs: readonly TransformSpec[],
  side: number,
  { isTiny }: { isTiny: boolean },
): TransformSpec[] | string {
  const present = outputSize(specs);
  if (!present) return "its images have no fixed size";
  const [height, width] = present;
  if (height !== width) return `its images are no squares (${width} × ${height} pixels)`;
  if (height === side) return [...specs];
  const resizes = specs.some((spec) => RESIZING.includes(partsOf(spec).name));
  if (!resizes && !isTiny) {
    return "it only crops, so that images of another size show something else";
  }
  const scaled = specs.map((spec) => {
    const { name, args } = partsOf(spec);
    return { [name]: scaledArguments(args as Record<string, unknown>, side / height) };
  }) as TransformSpec[];
  const list = resizes ? scaled : [resizeTo([side, side]), ...scaled];
  const exact = outputSize(list)?.every((each) => each === side);
  return exact ? list : "its sizes can't be scaled to whole pixels";
}

function resizeTo(size: Size): TransformSpec {
  return { Resize: { size } };
}

function scaledArguments(
  args: Readonly<Record<string, unknown>>,
  factor: number,
): Record<string, unknown> {
  const scaled = (value: unknown, least: number): unknown => {
    if (Array.isArray(value)) return value.map((each) => scaled(each, least));
    return typeof value === "number" ? Math.max(least, Math.round(value * factor)) : value;
  };
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      IN_PIXELS.includes(name) ? scaled(value, name === "padding" ? 0 : 1) : value,
    ]),
  );
}

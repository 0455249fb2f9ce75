/**
 * Transforms as a config writes them: `"RandomHorizontalFlip"`, `{ Resize: 176 }` or
 * `{ RandomResizedCrop: { size: 160, scale: [0.5, 1] } }`, with torchvision's names, arguments and
 * defaults.
 *
 * A validated spec always has the long form, so that a resolved config can be read again.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { type NamedInput, namedSchema } from "../../base/named_specs.ts";
import type { Size } from "./arguments.ts";
import { partsOf, type TransformName, TRANSFORMS, type TransformSpec } from "./table.ts";

export type { TransformSpec } from "./table.ts";

/** All names that a config may use. */
export const TRANSFORM_NAMES = Object.keys(TRANSFORMS) as TransformName[];

/** A transform as a config may write it. */
export type TransformInput = NamedInput;

/** One transform; the value that comes out has the long form. */
export const transformSchema = namedSchema<TransformSpec>(
  "transform",
  "{ Resize: 176 }",
  TRANSFORMS,
);

/**
 * The pipeline's transforms in order: at least one, `Normalize` once and then only `RandomErasing`, and with
 * a height and width that don't depend on the image.
 */
export const transformsSchema = z.array(transformSchema, "give a list of transforms").superRefine(
  (specs, context) => {
    const report = (message: string, ...path: PropertyKey[]) =>
      context.addIssue({ code: "custom", path, message });
    specs.forEach((spec, at) => {
      const later = specs.slice(at + 1).map(partsOf);
      if ("Normalize" in spec && later.some(({ transform }) => !transform.onFloats)) {
        report(
          "Normalize works on the finished image: write it once, last or before RandomErasing",
          at,
        );
      }
      if ("RandomErasing" in spec && later.some(({ transform }) => !transform.onFloats)) {
        report("RandomErasing works on the finished, normalized image: write it last", at);
      }
    });
    const { size, problems } = followSize(specs);
    for (const { at, name, message } of problems) report(message, at, name);
    if (size === undefined) {
      report(
        "images of different sizes can't share a batch: " +
          "end with RandomResizedCrop, RandomCrop, CenterCrop or Resize: [height, width]",
      );
    }
  },
);

/**
 * The size of every image that leaves these transforms.
 *
 * @returns Height and width, or `undefined` when they depend on the image
 */
export function outputSize(specs: readonly TransformSpec[]): Size | undefined {
  return followSize(specs).size;
}

/** The size after all transforms, and what can't work on the size that comes to it. */
function followSize(specs: readonly TransformSpec[]) {
  let size: Size | undefined;
  const problems: { at: number; name: TransformName; message: string }[] = [];
  specs.forEach((spec, at) => {
    const { name, transform, args } = partsOf(spec);
    const message = size && transform.problemWith?.(args, size);
    if (message) problems.push({ at, name, message });
    if (transform.sizeAfter) size = transform.sizeAfter(args, size);
  });
  return { size, problems };
}

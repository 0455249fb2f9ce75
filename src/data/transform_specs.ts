/**
 * Transforms as a config writes them: `"RandomHorizontalFlip"`, `{ Resize: 176 }` or
 * `{ RandomResizedCrop: { size: 160, scale: [0.5, 1] } }`, with torchvision's names, arguments and
 * defaults.
 *
 * A validated spec always has the long form, so that a resolved config can be read again.
 *
 * @module
 */
import { z } from "zod";
import { nearestName } from "../base/errors.ts";

/** Height and width in pixels. */
export type Size = [height: number, width: number];

const pixels = z.int("give whole pixels").positive("give at least 1 pixel").max(
  65535,
  "give at most 65535 pixels",
);
const pair = z.tuple([pixels, pixels], "give one number or [height, width]");
/** A square's side or [height, width]; always the latter when validated. */
const size = z.union([pixels, pair], "give one number or [height, width]").transform(
  (value): Size => typeof value === "number" ? [value, value] : value,
);
const range = (what: string) =>
  z.tuple([z.number().positive(), z.number().positive()], `give [low, high] of the ${what}`).refine(
    ([low, high]) => low <= high,
    "the first number must not be above the second",
  );
const channels = (what: string, number: z.ZodNumber) =>
  z.tuple([number, number, number], `give ${what} of red, green and blue, such as [0.5, 0.5, 0.5]`);

const ARGUMENTS = {
  /** A random part of the picture (its share of the area, its aspect ratio), resized. */
  RandomResizedCrop: z.strictObject({
    size,
    scale: range("area").default([0.08, 1]),
    ratio: range("width divided by the height").default([3 / 4, 4 / 3]),
  }),
  /** Mirrored left to right with probability `p`. */
  RandomHorizontalFlip: z.strictObject({ p: z.number().min(0).max(1).default(0.5) }),
  /** One number: the shorter side, aspect ratio kept; or [height, width]. */
  Resize: z.strictObject({
    size: z.union([pixels, pair], "give the shorter side or [height, width]"),
  }),
  /** The middle of the picture, with black around a smaller one. */
  CenterCrop: z.strictObject({ size }),
  /** (x / 255 − mean) / std per channel. */
  Normalize: z.strictObject({
    mean: channels("the mean", z.number()),
    std: channels("the standard deviation", z.number().positive()),
  }),
};

type Arguments = { [Name in TransformName]: z.output<(typeof ARGUMENTS)[Name]> };

/** Name of a transform, as in torchvision. */
export type TransformName = keyof typeof ARGUMENTS;

/** All names that a config may use. */
export const TRANSFORM_NAMES = Object.keys(ARGUMENTS) as TransformName[];

/** One validated transform: its name and all its arguments. */
export type TransformSpec = {
  [Name in TransformName]: { [Key in Name]: Arguments[Name] };
}[TransformName];

/** A transform as a config may write it. */
export type TransformInput = string | { [name: string]: unknown };

/** The argument that a bare number or list stands for. */
const SHORTHANDS: Partial<Record<TransformName, string>> = {
  RandomResizedCrop: "size",
  RandomHorizontalFlip: "p",
  Resize: "size",
  CenterCrop: "size",
};

/** One transform; the value that comes out has the long form. */
export const transformSchema = z.custom<TransformInput>(isTransformInput, {
  message: "give a transform's name, or { Name: arguments }, such as { Resize: 176 }",
}).transform((input, context): TransformSpec => {
  const [name, given] = typeof input === "string" ? [input, {}] : Object.entries(input)[0];
  const atName = typeof input === "string" ? [] : [name];
  const report = (path: PropertyKey[], message: string): never => {
    context.issues.push({ code: "custom", path, message, input: given });
    return z.NEVER;
  };
  if (!isTransformName(name)) return report(atName, unknownName(name));
  const shorthand = isArguments(given) ? undefined : SHORTHANDS[name];
  const result = ARGUMENTS[name].safeParse(shorthand ? { [shorthand]: given } : given ?? {});
  if (result.success) return { [name]: result.data } as TransformSpec;
  for (const issue of result.error.issues) {
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) report([...atName, key], unknownArgument(name, key));
    } else if (typeof input === "string") {
      report([], `${name} needs ${String(issue.path[0] ?? "arguments")}: ${issue.message}`);
    } else {
      report([...atName, ...issue.path.slice(shorthand ? 1 : 0)], issue.message);
    }
  }
  return z.NEVER;
});

/**
 * The pipeline's transforms in order: at least one, `Normalize` only at the end, and with a height and
 * width that don't depend on the picture.
 */
export const transformsSchema = z.array(transformSchema, "give a list of transforms").superRefine(
  (specs, context) => {
    const normalize = specs.findIndex((spec) => "Normalize" in spec);
    if (normalize >= 0 && normalize !== specs.length - 1) {
      context.addIssue({
        code: "custom",
        path: [normalize],
        message: "Normalize works on the finished picture: write it last, and once",
      });
    }
    if (outputSize(specs) === undefined) {
      context.addIssue({
        code: "custom",
        message: "pictures of different sizes can't share a batch: " +
          "end with RandomResizedCrop, CenterCrop or Resize: [height, width]",
      });
    }
  },
);

/**
 * The size of every picture that leaves these transforms.
 *
 * @returns Height and width, or `undefined` when they depend on the picture
 */
export function outputSize(specs: readonly TransformSpec[]): Size | undefined {
  let known: Size | undefined;
  for (const spec of specs) {
    if ("RandomResizedCrop" in spec) known = spec.RandomResizedCrop.size;
    else if ("CenterCrop" in spec) known = spec.CenterCrop.size;
    else if ("Resize" in spec) {
      const target = spec.Resize.size;
      if (typeof target !== "number") known = target;
      else if (known) known = resizedSize(known, target);
    }
  }
  return known;
}

/**
 * The size of a picture after `Resize: shorterSide`, as torchvision computes it: the longer side is
 * rounded down.
 */
export function resizedSize([height, width]: Size, shorterSide: number): Size {
  const [short, long] = height <= width ? [height, width] : [width, height];
  const longer = Math.floor((shorterSide * long) / short);
  return height <= width ? [shorterSide, longer] : [longer, shorterSide];
}

function unknownName(name: string): string {
  const nearest = nearestName(name, TRANSFORM_NAMES);
  if (nearest) return `unknown transform ${name}: did you mean ${nearest}?`;
  return `unknown transform ${name}: known ones are ${TRANSFORM_NAMES.join(", ")}`;
}

function unknownArgument(name: TransformName, key: string): string {
  const known = Object.keys(ARGUMENTS[name].shape);
  const nearest = nearestName(key, known);
  const cure = nearest ? `did you mean ${nearest}?` : `it has ${known.join(", ")}`;
  return `unknown argument ${key} of ${name}: ${cure}`;
}

function isTransformName(name: string): name is TransformName {
  return Object.hasOwn(ARGUMENTS, name);
}

function isArguments(value: unknown): boolean {
  return value === null || value === undefined ||
    (typeof value === "object" && !Array.isArray(value));
}

function isTransformInput(value: unknown): boolean {
  if (typeof value === "string") return true;
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.keys(value).length === 1;
}

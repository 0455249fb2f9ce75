/**
 * The side of a config's images, in the place of those that its transforms say.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { withImageSize } from "../data/image_size.ts";
import { outputSize, transformsSchema } from "../data/transforms/transform_specs.ts";
import { type Override, sourceOf } from "./override.ts";
import type { LoadedConfig } from "./schema.ts";
import { isTree, type Tree } from "./tree.ts";

/** The side that images get. */
export interface ImageSize {
  /** Pixels. */
  readonly side: number;
  /** As it was typed, for messages: `--image-size`. */
  readonly source: string;
}

/** The keys whose transforms are scaled. */
export const IMAGE_LISTS = ["train", "val"] as const;

/**
 * Finds the override that decides the size that a list gives; nothing where the file decides it.
 *
 * @param before The config before overrides
 */
export function typedSizes(
  before: Tree,
  { data }: LoadedConfig,
  overrides: readonly Override[],
): Partial<Record<(typeof IMAGE_LISTS)[number], string>> {
  const section = isTree(before.data) ? before.data : {};
  return Object.fromEntries(IMAGE_LISTS.flatMap((name) => {
    const by = overrides.findLast(({ key }) =>
      key === "data" || `${key}.`.startsWith(`data.${name}.`)
    );
    const own = by && transformsSchema.safeParse(section[name]).data;
    const isSame = own && String(outputSize(own)) === String(outputSize(data[name]));
    return by === undefined || isSame ? [] : [[name, sourceOf(by)]];
  }));
}

/**
 * Scales both lists of transforms.
 *
 * @param typed What was typed of `data.train` and `data.val`, such as `--set data.val.0.Resize`, where that decides the size
 * @returns `data.train` and `data.val`, not validated
 * @throws {UsageError} where a list can't be scaled, or says another size on the command line
 */
export function scaledTransforms(
  { data }: LoadedConfig,
  { side, source }: ImageSize,
  typed: Partial<Record<(typeof IMAGE_LISTS)[number], string>>,
) {
  const lists = IMAGE_LISTS.map((name) => {
    const by = typed[name];
    const size = outputSize(data[name]);
    if (by !== undefined && size?.some((each) => each !== side)) {
      throw new UsageError(
        `${source} asks for images of ${side} pixels, and ${by} for ${
          size.toReversed().join(" × ")
        }: leave one of ` +
          "them out",
      );
    }
    const scaled = withImageSize(data[name], side, { isTiny: data.format === "cifar10" });
    if (typeof scaled !== "string") return [name, scaled] as const;
    throw new UsageError(
      `${source} can't change data.${name}, since ${scaled}: write its transforms into the config, such as ` +
        `--set 'data.${name}=[{ Resize: [${side}, ${side}] }, …]'`,
    );
  });
  return Object.fromEntries(lists);
}

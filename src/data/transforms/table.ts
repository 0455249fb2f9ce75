/**
 * All transforms by their names, which are torchvision's.
 *
 * @module
 */
import type { z } from "../../deps/zod.ts";
import * as list from "./list.ts";
import type { Transform } from "./transform.ts";

/** The transforms that a config may name. */
export const TRANSFORMS = { ...list };

/** Name of a transform, as in torchvision. */
export type TransformName = keyof typeof TRANSFORMS;

/** One validated transform: its name and all its arguments. */
export type TransformSpec = {
  [Name in TransformName]: { [Key in Name]: z.output<(typeof TRANSFORMS)[Name]["schema"]> };
}[TransformName];

/** A spec's name, transform and arguments. */
export function partsOf(
  spec: TransformSpec,
): { name: TransformName; transform: Transform<unknown>; args: unknown } {
  const [[name, args]] = Object.entries(spec) as [[TransformName, unknown]];
  return { name, transform: TRANSFORMS[name], args };
}

/**
 * The place where a step's values cease to be finite.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/** Images that a report names by their positions. */
export const MAX_NAMED_IMAGES = 5;

const count = z.int().nonnegative();
/** Names of layers and parameters come from the user's modules, and may be of any length. */
const name = z.string().transform((text) => text.slice(0, 200));

/** The images among those of a pass whose values are not finite, where not all values of the pass are. */
const imagesShape = {
  /** Positions in the list of samples of the first ones, where they are known. */
  indices: z.array(count).max(MAX_NAMED_IMAGES),
  /** Their number. */
  count,
  /** Images of the pass. */
  of: count,
};
const images = z.strictObject(imagesShape).optional();

/** Schema of an origin, as a rank reports it. */
export const nonFiniteOriginSchema = z.discriminatedUnion("at", [
  /** A parameter or buffer, before the step. */
  z.strictObject({ at: z.literal("parameter"), name }),
  /** The pixels of images, after their transforms. */
  z.strictObject({ at: z.literal("images"), images }),
  /** The features of a frozen body whose layers give finite values now. */
  z.strictObject({ at: z.literal("features"), images }),
  /** The output of a layer. */
  z.strictObject({ at: z.literal("output"), layer: name, images }),
  /** The samples' losses, or their sum where none of them is to blame. */
  z.strictObject({ at: z.literal("loss"), images }),
  /** The gradient of a layer's output. */
  z.strictObject({ at: z.literal("outputGradient"), layer: name, images }),
  /** The gradient of a parameter. */
  z.strictObject({ at: z.literal("gradient"), name, layer: name }),
  /** New running statistics. */
  z.strictObject({ at: z.literal("statistics"), name, layer: name }),
  /** The sum over a rank's micro-batches, each of which is finite. */
  z.strictObject({ at: z.literal("microBatches"), count }),
  /** All values are finite when the step is computed again. */
  z.strictObject({ at: z.literal("nowhere") }),
  /** The step couldn't be computed again. */
  z.strictObject({ at: z.literal("unknown"), reason: z.string() }),
]);

/** The place of the first value of a step that isn't finite, in the order in which they are computed. */
export type NonFiniteOrigin = z.output<typeof nonFiniteOriginSchema>;

/** Images whose values are not finite. */
export type NonFiniteImages = NonNullable<z.output<typeof images>>;

/** A report of a rank. */
export const nonFiniteReportSchema = z.strictObject({
  origin: nonFiniteOriginSchema,
  /** True where the step ran by itself, though BatchNorm normalizes by the rows of all ranks. */
  alone: z.boolean(),
});

/** The origin of a step, and how it was found. */
export type NonFiniteReport = z.output<typeof nonFiniteReportSchema>;

/** A value that was watched for an image of each row of a pass. */
export interface WatchedRows {
  readonly kind: "start" | "output" | "losses" | "outputGradient";
  /** The layer, of an output and its gradient. */
  readonly layer?: string;
  /** By row: true where it isn't finite. */
  readonly rows: readonly boolean[];
}

/** A value that was watched as a whole, and whether it isn't finite. */
export interface WatchedValue {
  readonly name: string;
  readonly layer: string;
  readonly isNonFinite: boolean;
}

/** All that was watched in a pass, in the order in which it was computed. */
export interface WatchedPass {
  readonly parameters: readonly WatchedValue[];
  readonly rows: readonly WatchedRows[];
  /** True where the sum of the losses isn't finite. */
  readonly isLossNonFinite: boolean;
  readonly gradients: readonly WatchedValue[];
  readonly statistics: readonly WatchedValue[];
}

/**
 * Returns the first place of a pass that isn't finite.
 *
 * @param indices The rows' positions in the list of samples, where they are known
 * @returns Nothing where all values are finite; `start` of the pass counts as images
 */
export function originOf(
  { parameters, rows, isLossNonFinite, gradients, statistics }: WatchedPass,
  indices?: ArrayLike<number>,
): NonFiniteOrigin | undefined {
  const parameter = parameters.find(({ isNonFinite }) => isNonFinite);
  if (parameter) return { at: "parameter", name: parameter.name };
  const forward = rows.find((each) => each.kind !== "outputGradient" && each.rows.includes(true));
  if (forward) {
    const images = imagesOf(forward, indices);
    if (forward.kind === "start") return { at: "images", images };
    if (forward.kind === "losses") return { at: "loss", images };
    return { at: "output", layer: forward.layer!, images };
  }
  if (isLossNonFinite) return { at: "loss" };
  const backward = firstGradient(rows, gradients, indices);
  if (backward) return backward;
  const statistic = statistics.find(({ isNonFinite }) => isNonFinite);
  return statistic && { at: "statistics", name: statistic.name, layer: statistic.layer };
}

/**
 * The backward pass comes to a layer by the gradient of its output, then computes those of its parameters, then goes on
 * to the layers before it.
 */
function firstGradient(
  rows: readonly WatchedRows[],
  gradients: readonly WatchedValue[],
  indices: ArrayLike<number> | undefined,
): NonFiniteOrigin | undefined {
  const outputs = rows.filter(({ kind }) => kind === "outputGradient");
  const first = outputs.findIndex((each) => each.rows.includes(true));
  const turnOf = (layer: string) => outputs.findLastIndex((output) => output.layer === layer);
  const [parameter] = gradients.filter(({ isNonFinite }) => isNonFinite)
    .toSorted((a, b) => turnOf(a.layer) - turnOf(b.layer));
  if (parameter && (first < 0 || turnOf(parameter.layer) < first)) {
    return { at: "gradient", name: parameter.name, layer: parameter.layer };
  }
  const output = outputs[first];
  return output &&
    { at: "outputGradient", layer: output.layer!, images: imagesOf(output, indices) };
}

/** The images of the rows that are not finite; nothing where all are. */
function imagesOf(
  { rows }: WatchedRows,
  indices: ArrayLike<number> | undefined,
): NonFiniteImages | undefined {
  const bad = [...rows.keys()].filter((row) => rows[row]);
  if (bad.length === rows.length) return undefined;
  const named = indices ? bad.slice(0, MAX_NAMED_IMAGES).map((row) => indices[row]!) : [];
  return { indices: named, count: bad.length, of: rows.length };
}

/**
 * Heads as a config writes them: a list of layers in the place of an architecture's last one.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { shareBelow1 } from "../base/float32.ts";
import { namedSchema } from "../base/named_specs.ts";

const features = z.int("give a whole number of features").positive("give at least 1 feature");

const outFeatures = z.union(
  [features, z.literal("classes")],
  "give a number of features or `classes`",
);

const LAYERS = {
  Linear: z.strictObject({
    inFeatures: features.optional().describe(
      "The number of input features, to be checked; unless given, the number that the layer " +
        "before returns.",
    ),
    outFeatures: outFeatures.describe(
      "The number of output features; `classes` is the number of classes.",
    ),
  }).describe("PyTorch's `nn.Linear`."),
  ReLU: z.strictObject({}).describe("PyTorch's `nn.ReLU`."),
  Dropout: z.strictObject({
    p: shareBelow1().default(0.5).describe("Share of the units that training drops."),
  }).describe("PyTorch's `nn.Dropout`."),
  LogSoftmax: z.strictObject({}).describe(
    "Log-probabilities, for `train.loss: nll`; the last layer only.",
  ),
};

/** One validated layer of a head: its name and all its arguments. */
export type HeadLayer =
  | { Linear: { inFeatures?: number; outFeatures: number | "classes" } }
  | { ReLU: Record<string, never> }
  | { Dropout: { p: number } }
  | { LogSoftmax: Record<string, never> };

const layerSchema = namedSchema<HeadLayer>("layer", "{ Linear: 500 }", {
  Linear: {
    schema: LAYERS.Linear,
    // Two numbers as in nn.Linear(1024, 500); a third one is refused as an unknown argument.
    shorthand: (value) => {
      if (!Array.isArray(value)) return { outFeatures: value };
      const [inFeatures, outFeatures, ...more] = value;
      return { inFeatures, outFeatures, ...(more.length > 0 ? { third: more[0] } : {}) };
    },
    short: z.union([outFeatures, z.tuple([features, outFeatures])]),
  },
  ReLU: { schema: LAYERS.ReLU },
  Dropout: { schema: LAYERS.Dropout, shorthand: "p" },
  LogSoftmax: { schema: LAYERS.LogSoftmax },
});

/** `model.head`: layers from features [n, features] to [n, classes]. */
export const headSchema = z.array(layerSchema, "give a list of layers").min(
  1,
  "give at least a Linear layer",
).superRefine((layers, context) => {
  const softmax = layers.findIndex((layer) => "LogSoftmax" in layer);
  if (softmax >= 0 && softmax < layers.length - 1) {
    context.addIssue({
      code: "custom",
      path: [softmax],
      message:
        "LogSoftmax makes log-probabilities of the last layer's outputs: write it last, and once",
    });
  }
  if (!layers.some((layer) => "Linear" in layer)) {
    context.addIssue({ code: "custom", message: "a head needs a Linear layer to the classes" });
  }
});

/** A head's layers as a config may write them. */
export type HeadInput = z.input<typeof headSchema>;

/** Tells whether a head returns log-probabilities. */
export function endsInLogSoftmax(head: readonly HeadLayer[] | undefined): boolean {
  const last = head?.at(-1);
  return last !== undefined && "LogSoftmax" in last;
}

/**
 * The config keys of the loss.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { shareBelow1 } from "../base/float32.ts";
import { recordOf } from "../base/record_schema.ts";
import { moduleSchema } from "../base/user_module.ts";

/** Limits of a class weight above 0: within them no sum of losses overflows or vanishes in float32. */
const [MIN_CLASS_WEIGHT, MAX_CLASS_WEIGHT] = [1e-12, 1e12];

const classWeight = z.number().refine(
  (weight) => weight === 0 || (weight >= MIN_CLASS_WEIGHT && weight <= MAX_CLASS_WEIGHT),
  `give 0, or a weight from ${MIN_CLASS_WEIGHT} to ${MAX_CLASS_WEIGHT}`,
);

/** Keys of the loss, as `train.*`. */
export const lossShape = {
  loss: z.enum(["crossEntropy", "nll"]).default("crossEntropy").describe(
    "`crossEntropy` on logits; `nll` on log-probabilities, for a head that ends in LogSoftmax.",
  ),
  lossModule: moduleSchema.optional().describe(
    "A module of your own that exports `lossPerSample`, instead of `loss` (docs/library.md).",
  ),
  labelSmoothing: shareBelow1("give a share below 1").default(0).describe(
    "Share of the target that is spread evenly over all classes (Szegedy et al. 2015, " +
      "arXiv:1512.00567).",
  ),
  classWeights: z.union([
    z.literal("balanced"),
    z.array(classWeight),
    recordOf(classWeight),
  ], "give a list, a mapping from class to weight, or `balanced`").optional().describe(
    "Weight of each class: by name, in the order of the classes, or `balanced`: the rarer, the " +
      "heavier. With 0 a class contributes nothing to the loss.",
  ),
};

/** The name of a loss. */
export type LossName = z.output<(typeof lossShape)["loss"]>;

/** Weights of the classes as configured; `undefined` for 1 each. */
export type ClassWeights = z.output<(typeof lossShape)["classWeights"]>;

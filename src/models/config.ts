/**
 * The config keys of the model.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { pathSchema } from "../base/file_path.ts";
import { shareBelow1 } from "../base/float32.ts";
import { moduleSchema } from "../base/user_module.ts";
import { headSchema } from "./head_specs.ts";
import { MODEL_NAMES } from "./registry.ts";

/** The values of `model.weights` beside the path of a file. */
export const WEIGHTS_NAMES = ["pretrained", "pretrained-v2", "none"] as const;

/** The value of `model.name` when the network comes from a module of the user's own. */
export const USER_MODEL = "custom";

/**
 * The configurable part of a network's shape: a checkpoint keeps it, so that the network can be built again.
 */
export const architectureShape = {
  head: headSchema.optional().describe("Layers in the place of the architecture's last one."),
  dropout: shareBelow1().optional().describe(
    "Share that the architecture's own Dropout layers drop; unless set, as in its paper.",
  ),
  stochasticDepth: shareBelow1("give a probability below 1").optional().describe(
    "Greatest probability of skipping a block, where the architecture has stochastic depth.",
  ),
  transformInput: z.boolean().optional().describe(
    "Take images normalized for ImageNet to the range that Inception's weights were made for, " +
      "as torchvision does; unless set, for `pretrained` only.",
  ),
};

/** `model`: the network that is trained, and its initial weights. */
export const modelSchema = z.strictObject({
  name: z.enum([...MODEL_NAMES, USER_MODEL]).optional().describe(
    "An architecture; `custom`, or nothing, with `module`.",
  ),
  module: moduleSchema.optional().describe(
    "A module of your own that exports `createModel`, instead of a named architecture " +
      "(docs/library.md).",
  ),
  weights: pathSchema("name a file, or pretrained or none", WEIGHTS_NAMES).optional().describe(
    "`pretrained` (ImageNet), `pretrained-v2` (torchvision's newer ones, of resnet50 and " +
      "mobilenet_v2), `none` (from scratch), or the path of a `.pth` or `.safetensors` file. " +
      "Unless set, `pretrained`, and `none` with `module`.",
  ),
  replaceHead: z.boolean().optional().describe(
    "Start with a fresh last layer when the weights have another number of classes; unless " +
      "set, for `pretrained` only.",
  ),
  featureExtract: z.boolean().default(false).describe("Freeze everything but the last layer."),
  train: z.array(z.string().min(1), "give a list of patterns, such as [layer4.*, fc.*]").min(
    1,
    "give at least one pattern, such as fc.*",
  ).optional().describe(
    "Patterns of the parameters that learn, such as `layer4.*`; all others are frozen.",
  ),
  freezeBatchNorm: z.boolean().optional().describe(
    "Run BatchNorm layers in eval mode during training; unless set, those whose own parameters " +
      "are frozen.",
  ),
  ...architectureShape,
}).superRefine((model, context) => {
  for (const [key, message] of problemsOf(model)) {
    context.addIssue({ code: "custom", path: [key], message });
  }
}).transform(({ name, weights, ...rest }) => ({
  name: name ?? USER_MODEL,
  ...rest,
  weights: weights ?? (rest.module ? "none" : "pretrained"),
}));

/** The keys that {@linkcode problemsOf} checks. */
interface ModelKeys {
  name?: string | undefined;
  module?: string | undefined;
  weights?: string | undefined;
  [key: string]: unknown;
}

/** Keys that contradict each other, each with the cure. */
function* problemsOf(model: ModelKeys): Generator<[key: string, message: string]> {
  const { name, module, weights } = model;
  if (!module) {
    const names = MODEL_NAMES.join(", ");
    if (name === undefined) {
      yield ["name", `name one of ${names}, or a module of your own with model.module`];
    } else if (name === USER_MODEL) yield ["module", "name the module that makes the network"];
    return;
  }
  if (name !== undefined && name !== USER_MODEL) {
    yield ["name", `model.module makes the network: remove one of the two keys`];
  }
  if (weights?.startsWith("pretrained")) {
    yield ["weights", "there are none for model.module: set it to none or to a file"];
  }
  for (const key of Object.keys(architectureShape)) {
    if (model[key] === undefined) continue;
    yield [key, "the shape of the network is up to model.module: remove this key"];
  }
}

/** The model section of a validated config. */
export type ModelConfig = z.output<typeof modelSchema>;

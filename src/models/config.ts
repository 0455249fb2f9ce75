/**
 * The config keys of the model.
 *
 * @module
 */
import { z } from "zod";

/** Architectures that `model.name` accepts. */
export const MODEL_NAMES = ["efficientnet_lite0", "resnet18", "plain_cnn"] as const;

/** Name of an architecture. */
export type ModelName = (typeof MODEL_NAMES)[number];

/** `model`: what is trained, and from which weights. */
export const modelSchema = z.strictObject({
  name: z.enum(MODEL_NAMES),
  /** `pretrained` (ImageNet), `none` (from scratch), or the path of a `.pth` or `.safetensors` file. */
  weights: z.string().min(1).default("pretrained"),
  /** Start with a fresh last layer when the weights have another number of classes; unless set, for `pretrained` only. */
  replaceHead: z.boolean().optional(),
  /** Freeze everything but the last layer. */
  featureExtract: z.boolean().default(false),
  /** Run BatchNorm layers in eval mode during training; unless set, as `featureExtract`. */
  freezeBatchNorm: z.boolean().optional(),
});

/** The model section of a validated config. */
export type ModelConfig = z.output<typeof modelSchema>;

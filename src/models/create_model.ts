/**
 * Builds a model: graph, initial weights, and what of it learns.
 *
 * @module
 */
import { randomSeed } from "../base/random.ts";
import { seededNormal, seededUniform } from "../engine/random_ops.ts";
import { tf } from "../engine/tf.ts";
import type { ModelName } from "./config.ts";
import { BatchNorm, Dropout } from "./layers.ts";
import { type Parameter, parametersOf } from "./parameters.ts";
import { type Architecture, ARCHITECTURES, type Initializer } from "./registry.ts";

/** Settings of {@linkcode createModel}. */
export interface ModelOptions {
  /** Number of classes: units of the last layer. */
  readonly numClasses: number;
  /** Seed of the initial weights. */
  readonly seed?: number;
  /**
   * Draw the last layer as PyTorch draws a new `nn.Linear`, the way it is replaced in pretrained networks, and
   * not as the architecture draws its own.
   */
  readonly newHead?: boolean;
  /** Freeze everything but the last layer. */
  readonly featureExtract?: boolean;
  /** Run BatchNorm in eval mode while training; unless given, as `featureExtract`. */
  readonly freezeBatchNorm?: boolean;
}

/**
 * Creates a model with freshly drawn weights: float32 [n, h, w, 3], normalized → logits [n, numClasses].
 *
 * The engine must be open (`openEngine()`). Layers are named so that `<layer>.weight` and so on are
 * torchvision's names, and the weights are drawn from torchvision's distributions.
 *
 * @throws {RangeError} when `numClasses` is not a positive integer
 */
export function createModel(name: ModelName, options: ModelOptions): tf.LayersModel {
  const { numClasses, seed = 0, newHead = false, featureExtract = false } = options;
  if (!Number.isInteger(numClasses) || numClasses < 1) {
    throw new RangeError(`numClasses must be a positive integer, not ${numClasses}`);
  }
  const { build, head } = ARCHITECTURES[name];
  const input = tf.input({ shape: [null, null, 3], name: "images" });
  const model = tf.model({ name, inputs: input, outputs: build(input, numClasses) });
  const freezeBatchNorm = options.freezeBatchNorm ?? featureExtract;
  for (const layer of model.layers) {
    layer.trainable = !featureExtract || layer.name === head;
    if (layer instanceof BatchNorm) layer.frozen = freezeBatchNorm;
    if (layer instanceof Dropout) layer.frozen = featureExtract && isBeforeHead(layer);
  }
  initialize(model, ARCHITECTURES[name], { seed, newHead });
  return model;
}

/** Stochastic depth stands in the body, dropout before the head learns with it. */
function isBeforeHead(layer: Dropout): boolean {
  return layer.name.endsWith(".drop");
}

function initialize(
  model: tf.LayersModel,
  { initializers, head }: Architecture,
  { seed, newHead }: { seed: number; newHead: boolean },
): void {
  const parameters = parametersOf(model);
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  for (const parameter of parameters) {
    const layer = parameter.name.slice(0, parameter.name.lastIndexOf("."));
    const weight = byName.get(`${layer}.weight`);
    if (!weight || weight.kind === "vector") continue; // BatchNorm is right as it is made
    const own = weight.kind === "linear" ? initializers.linear : initializers.conv;
    const initializer = newHead && layer === head ? "torchDefault" : own;
    const value = draw(parameter, weight, initializer, randomSeed(seed, "init", parameter.name));
    parameter.variable.assign(value);
    value.dispose();
  }
}

function draw(
  { variable, kind }: Parameter,
  weight: Parameter,
  initializer: Initializer,
  seed: number,
): tf.Tensor {
  const [out, ...rest] = weight.torchShape; // [out, in, h, w] or [out, in]
  const fanIn = rest.reduce((product, size) => product * size, 1);
  const isBias = kind === "vector";
  switch (initializer) {
    case "kaimingNormalFanOut": {
      const fanOut = out * fanIn / rest[0];
      return isBias
        ? tf.zeros(variable.shape)
        : seededNormal(variable.shape, Math.sqrt(2 / fanOut), seed);
    }
    case "torchDefault":
      return seededUniform(variable.shape, 1 / Math.sqrt(fanIn), seed);
    case "uniformFanOut":
      return isBias
        ? tf.zeros(variable.shape)
        : seededUniform(variable.shape, 1 / Math.sqrt(out), seed);
  }
}

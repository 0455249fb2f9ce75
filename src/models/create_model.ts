/**
 * Builds a model: graph, initial weights, and what of it learns.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { globTest, unmatchedPatterns } from "../base/glob.ts";
import { type LayersModel, tf } from "../engine/tf.ts";
import type { Architecture } from "./architecture.ts";
import * as blocks from "./blocks.ts";
import { buildHead } from "./head.ts";
import { isPartOf } from "./heads.ts";
import type { HeadLayer } from "./head_specs.ts";
import { initialize } from "./initialize.ts";
import { Dropout, isBatchNorm } from "./layers.ts";
import { namedLayers } from "./named_layers.ts";
import { parametersOf } from "./parameters.ts";
import { ARCHITECTURES, type ModelName } from "./registry.ts";

/** The configurable part of a network's shape. */
export interface ArchitectureOptions {
  /** Number of classes: units of the last layer. */
  readonly numClasses: number;
  /** Layers in the place of the architecture's last one; the last Linear has `numClasses` units. */
  readonly head?: readonly HeadLayer[];
  /** Share that the architecture's own Dropout layers drop; unless given, as in its paper. */
  readonly dropout?: number;
  /** Greatest probability of skipping a block, where the architecture has stochastic depth. */
  readonly stochasticDepth?: number;
  /** Take images normalized for ImageNet to the range that Inception's weights were made for. */
  readonly transformInput?: boolean;
}

/** The choice of the parameters that are trained. */
export interface LearningOptions {
  /** Freeze everything but the last layer. */
  readonly featureExtract?: boolean;
  /** Patterns of the parameters that learn, such as `layer4.*`; all others are frozen. */
  readonly train?: readonly string[];
  /** Run BatchNorm in eval mode while training; unless given, where the layer's own parameters are frozen. */
  readonly freezeBatchNorm?: boolean;
}

/** Settings of {@linkcode createModel}. */
export interface ModelOptions extends ArchitectureOptions, LearningOptions {
  /** Seed of the initial weights. */
  readonly seed?: number;
  /**
   * Draw the last layer as PyTorch draws a new `nn.Linear`, the way it is replaced in pretrained networks, and
   * not as the architecture draws its own.
   */
  readonly newHead?: boolean;
}

/**
 * Creates a model with freshly drawn weights: float32 [n, h, w, 3], normalized → logits [n, numClasses].
 *
 * The engine must be open (`openEngine()`). Layers are named so that `<layer>.weight` and so on are
 * torchvision's names, and the weights are drawn from torchvision's distributions. A network with an
 * auxiliary classifier (Inception) has that one's logits as a second output.
 *
 * @example
 * ```ts
 * import { createModel, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const model = createModel("resnet18", { numClasses: 10, seed: 1 });
 * console.log(model.countParams()); // 11191242: parameters, and the running statistics of BatchNorm
 * ```
 *
 * @throws {RangeError} when `numClasses` is not a positive integer
 * @throws {UsageError} when the head doesn't fit, or a pattern of `train` matches no parameter
 */
export function createModel(name: ModelName, options: ModelOptions): LayersModel {
  const { numClasses, seed = 0, newHead = false, head } = options;
  if (!Number.isInteger(numClasses) || numClasses < 1) {
    throw new RangeError(`numClasses must be a positive integer, not ${numClasses}`);
  }
  const architecture = ARCHITECTURES[name];
  if (head && !architecture.linearHead) {
    throw new UsageError(
      `model.head is set, but the last layer of ${name}, ${
        architecture.heads[0]
      }, is a convolution, in whose place a list of layers can't stand: remove model.head`,
    );
  }
  const model = buildModel(name, architecture, options);
  chooseLearning(model, architecture.heads, options);
  const isHead = (layer: string) => isPartOf(layer, architecture.heads);
  const isOwnHead = (layer: string) =>
    head !== undefined && isPartOf(layer, [architecture.heads[0]]);
  initialize(model, architecture, seed, (layer) => isOwnHead(layer) || (newHead && isHead(layer)));
  return model;
}

function buildModel(
  name: ModelName,
  { build }: Architecture,
  { numClasses, head, dropout, stochasticDepth, transformInput = false }: ArchitectureOptions,
): tf.LayersModel {
  const input = tf.input({ shape: [null, null, 3], name: "images" });
  const { logits, auxiliary } = build(blocks, input, {
    classes: numClasses,
    head: (layer: string, features: blocks.Node) =>
      head
        ? buildHead(layer, features, head, numClasses)
        : blocks.linear(layer, features, numClasses),
    ...(dropout === undefined ? {} : { dropout }),
    ...(stochasticDepth === undefined ? {} : { stochasticDepth }),
    transformInput,
  });
  return tf.model({ name, inputs: input, outputs: auxiliary ? [logits, auxiliary] : logits });
}

/**
 * Freezes the parameters that aren't trained, beside those that are frozen already.
 *
 * @param heads Names of the last layers
 * @throws {UsageError} when a pattern of `train` matches no parameter
 */
export function chooseLearning(
  model: tf.LayersModel,
  heads: readonly string[],
  { featureExtract = false, train, freezeBatchNorm }: LearningOptions,
): void {
  const names = parametersOf(model).filter(({ buffer }) => !buffer).map(({ name }) => name);
  const [unmatched] = unmatchedPatterns(train ?? [], names);
  if (unmatched !== undefined) {
    throw new UsageError(
      `model.train: the pattern "${unmatched}" matches no parameter of ${model.name}, whose layers are ` +
        `${topLayers(names).map((layer) => `${layer}.*`).join(", ")}: mend or remove it`,
    );
  }
  const tests = train?.map(globTest);
  const learns = (name: string) =>
    (!featureExtract || isPartOf(name, heads)) && (!tests || tests.some((test) => test(name)));
  const learning = new Set(names.filter(learns));
  for (const parameter of parametersOf(model)) {
    if (!parameter.buffer) parameter.weight.trainable &&= learning.has(parameter.name);
  }
  for (const { layer } of namedLayers(model)) {
    const isFrozen = !layer.trainable || !layer.weights.some((weight) => weight.trainable);
    if (isBatchNorm(layer)) layer.frozen = freezeBatchNorm ?? isFrozen;
    if (layer instanceof Dropout) layer.frozen = featureExtract && isStochasticDepth(layer);
  }
}

/** Stochastic depth is in the body; dropout before the head learns with it. */
function isStochasticDepth(layer: Dropout): boolean {
  return layer.name.endsWith(".drop");
}

/** The first parts of names, such as `layer4`. */
function topLayers(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.slice(0, name.indexOf("."))))];
}

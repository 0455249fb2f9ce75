/**
 * Shows the places of an image in which a network sees a class: Grad-CAM (Selvaraju et al. 2017, "Grad-CAM:
 * Visual Explanations from Deep Networks via Gradient-based Localization", arXiv:1610.02391, equations 1 and
 * 2).
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { tf } from "../engine/tf.ts";
import { isPartOf } from "./heads.ts";
import { Dropout } from "./layers.ts";
import { CeilMaxPool } from "./pooling.ts";
import { ARCHITECTURES } from "./registry.ts";
import { userModelHeads } from "./user_model.ts";

/** A network cut in two behind its last convolutional features. */
export interface FeatureMap {
  /** Name of the layer whose output they are. */
  readonly name: string;
  /** Features [n, h, w, c] of images [n, height, width, 3], in eval mode. */
  features(images: tf.Tensor): tf.Tensor4D;
  /** Logits [n, classes] of features, in eval mode. */
  logits(features: tf.Tensor4D): tf.Tensor2D;
}

/**
 * Finds the last convolutional features of a network: the input of its last pooling or, where it has none, of
 * its head. A head that is a convolution itself (SqueezeNet's) doesn't count, and neither do the layers
 * behind it.
 *
 * @throws {UsageError} when there are none, or what lies behind them is no single chain of layers
 */
export function lastFeatureMap(model: tf.LayersModel): FeatureMap {
  const layers: tf.layers.Layer[] = [];
  let node = model.outputs[0];
  let isBehindHead = hasHeadLayer(model);
  while (isBehindHead || node.shape.length !== 4 || onlyMoves(node.sourceLayer)) {
    const layer = node.sourceLayer;
    if (isHead(model, layer.name) && !isHead(model, nameBefore(node))) isBehindHead = false;
    layers.unshift(layer);
    if (node.inputs.length !== 1) {
      throw new UsageError(
        `Grad-CAM needs a network that ends in one chain of layers behind its last features, but ${model.name} ` +
          `has several inputs at ${layer.name}: leave --explain out`,
      );
    }
    [node] = node.inputs;
  }
  if (node.inputs.length === 0) {
    throw new UsageError(
      `Grad-CAM needs convolutions, but ${model.name} has none: leave --explain out`,
    );
  }
  const { name } = node;
  return {
    name: node.sourceLayer.name,
    features: (images) => [model.execute(images, name) as tf.Tensor4D].flat()[0] as tf.Tensor4D,
    logits: (features) =>
      layers.reduce(
        (x, layer) => layer.apply(x, { training: false }) as tf.Tensor,
        features as tf.Tensor,
      ) as tf.Tensor2D,
  };
}

/**
 * The map of a class over each image: `ReLU(Σ αₖ Aᵏ)`, where A are the features and α the means of the gradients
 * of the class's logit with respect to them.
 *
 * @param images float32 [n, height, width, 3]
 * @param classes int32 [n], the class to explain in each image
 * @returns float32 [n, h, w] in the features' size, at least 0, not scaled
 */
export function gradCam(map: FeatureMap, images: tf.Tensor, classes: tf.Tensor1D): tf.Tensor3D {
  return tf.tidy(() => {
    const features = map.features(images);
    const chosenLogits = (x: tf.Tensor) => {
      const logits = map.logits(x as tf.Tensor4D);
      const chosen = tf.oneHot(classes, logits.shape[1]!);
      // Rows don't meet in eval mode, so the gradient of the sum is each row's own.
      return tf.sum(tf.mul(logits, tf.cast(chosen, "float32")));
    };
    const gradients = tf.grad(chosenLogits)(features);
    const weights = tf.mean(gradients, [1, 2], true);
    return tf.relu(tf.sum(tf.mul(features, weights), 3)) as tf.Tensor3D;
  });
}

/** Pools and what does nothing in eval mode: the features before it see the same, and more finely. */
function onlyMoves(layer: tf.layers.Layer): boolean {
  return layer instanceof Dropout || layer instanceof CeilMaxPool ||
    /Pooling2D$|^Dropout$|^Flatten$/.test(layer.getClassName());
}

function headsOf(model: tf.LayersModel): readonly string[] {
  const own = userModelHeads(model);
  if (own) return own;
  return Object.hasOwn(ARCHITECTURES, model.name)
    ? [ARCHITECTURES[model.name as keyof typeof ARCHITECTURES].heads[0]]
    : [];
}

function isHead(model: tf.LayersModel, name: string): boolean {
  return isPartOf(name, headsOf(model));
}

function hasHeadLayer(model: tf.LayersModel): boolean {
  return model.layers.some(({ name }) => isHead(model, name));
}

function nameBefore({ inputs }: tf.SymbolicTensor): string {
  return inputs[0]?.sourceLayer.name ?? "";
}

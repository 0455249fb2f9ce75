/**
 * Finds the end of a network's frozen body: the layers before that place give the same features for an image
 * in every epoch, and need no gradient.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import { dropsAtRandom } from "./layers.ts";
import { type NamedLayer, namedLayers } from "./named_layers.ts";
import { layerParameters } from "./parameters.ts";

/** A network cut in two behind its frozen part. */
export interface FrozenBody {
  /** Name of the layer whose output is the features. */
  readonly name: string;
  /** Features [n, …] of images [n, h, w, 3]. */
  body(images: tf.Tensor): tf.Tensor;
  /** Logits [n, classes] of features [n, …]. */
  head(features: tf.Tensor, training: boolean): tf.Tensor2D;
}

/** The reason why a network has no frozen body. */
export interface Obstacle {
  /** The part that learns or is random, with the cure. */
  readonly obstacle: string;
}

/**
 * Cuts a network as late as may be, but so that everything that learns or is random in training lies behind the
 * cut, in one chain of layers.
 */
export function findFrozenBody(model: tf.LayersModel): FrozenBody | Obstacle {
  if (model.outputs.length > 1) {
    return {
      obstacle: `${model.name} has an auxiliary classifier, which learns from the middle of the ` +
        "network: choose another model.name",
    };
  }
  const active = activities(model);
  const inert = inertTest(active);
  const head: tf.layers.Layer[] = [];
  let cut = model.outputs[0];
  while (!inert(cut)) {
    head.unshift(cut.sourceLayer);
    if (cut.inputs.length !== 1) return obstacle(model, active);
    [cut] = cut.inputs;
  }
  // Without a layer before it there is nothing to save.
  if (cut.inputs.length === 0) return obstacle(model, active);
  const { name } = cut;
  return {
    name: cut.sourceLayer.name,
    body: (images) => model.execute(images, name) as tf.Tensor,
    head: (features, training) =>
      head.reduce((x, layer) => layer.apply(x, { training }) as tf.Tensor, features) as tf.Tensor2D,
  };
}

/**
 * Returns each layer's activity in training that a frozen layer doesn't have, by the layers' own names, in
 * the network's order.
 */
function activities(model: tf.LayersModel): Map<string, string> {
  const found = new Map<string, string>();
  for (const named of namedLayers(model)) {
    const activity = found.has(named.top.name) ? undefined : activityOf(named);
    if (activity !== undefined) found.set(named.top.name, activity);
  }
  return found;
}

function activityOf(named: NamedLayer): string | undefined {
  const active = layerParameters(named).find(({ trainable }) => trainable);
  if (active) {
    return active.buffer
      ? `the BatchNorm layer ${active.layer} runs in training mode: set model.freezeBatchNorm to true`
      : `the parameter ${active.name} learns: set model.featureExtract to true, or leave it out of model.train`;
  }
  if (!dropsAtRandom(named.layer)) return undefined;
  return `the layer ${named.name} drops at random: set model.stochasticDepth and model.dropout to 0, or ` +
    "model.featureExtract to true";
}

/** Returns the obstacle: the first active layer in the network's order. */
function obstacle({ layers }: tf.LayersModel, active: Map<string, string>): Obstacle {
  const first = layers.find(({ name }) => active.has(name))!;
  return { obstacle: active.get(first.name)! };
}

/** Tells whether nothing up to a node learns or is random. */
function inertTest(active: Map<string, string>): (node: tf.SymbolicTensor) => boolean {
  const known = new Map<tf.SymbolicTensor, boolean>();
  const inert = (node: tf.SymbolicTensor): boolean => {
    const before = known.get(node);
    if (before !== undefined) return before;
    const result = !active.has(node.sourceLayer.name) && node.inputs.every(inert);
    known.set(node, result);
    return result;
  };
  return inert;
}

/**
 * Finds where in a network values cease to be finite.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { applyModel } from "./heads.ts";

type Layer = tf.layers.Layer;

/** A layer that holds layers. */
interface Container {
  readonly layers?: readonly Layer[];
}

/**
 * Runs a model in eval mode, op by op, and checks the output of each layer.
 *
 * @param inputs float32 [n, h, w, 3], or what `apply` takes
 * @param apply Runs the model, or its last part; its outputs are disposed of
 * @returns Name of the first layer whose output has NaN or infinity
 */
export function findNonFiniteLayer(
  model: tf.LayersModel,
  inputs: tf.Tensor,
  apply: (inputs: tf.Tensor) => tf.Tensor | tf.Tensor[] = (images) =>
    applyModel(model, images, false),
): string | undefined {
  let found: string | undefined;
  const layers = innerLayers(model.layers);
  for (const layer of layers) {
    const call = layer.call;
    layer.call = function (...args) {
      const outputs = call.apply(this, args);
      if (found === undefined && ![outputs].flat().every(isFinite)) found = layer.name;
      return outputs;
    };
  }
  try {
    tf.dispose(apply(inputs));
  } finally {
    // The layers' own classes have the method.
    for (const layer of layers) delete (layer as Partial<Layer>).call;
  }
  return found;
}

/** Layers that hold none, each once. */
function innerLayers(layers: readonly Layer[]): Layer[] {
  const all = layers.flatMap((layer) => {
    const inner = (layer as Container).layers;
    return inner ? innerLayers(inner) : [layer];
  });
  return [...new Set(all)];
}

function isFinite(values: tf.Tensor): boolean {
  if (values.dtype !== "float32") return true;
  return tf.tidy(() => tf.all(tf.isFinite(values)).dataSync()[0] !== 0);
}

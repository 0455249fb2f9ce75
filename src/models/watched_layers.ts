/**
 * Watches what the layers of a model give, while it is applied.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import { namedLayers } from "./named_layers.ts";

/**
 * Takes an output of a layer, and returns what goes on in its place: usually the output itself.
 *
 * @param layer The layer's name, as of `namedLayers()`
 */
export type OnOutput = (layer: string, output: tf.Tensor) => tf.Tensor;

/** Runs `action`, in which each output of a layer that holds no others is passed to `onOutput`, as it is computed. */
export function watchingLayers<T>(
  model: tf.LayersModel,
  onOutput: OnOutput,
  action: () => T,
): T {
  const layers = new Map(namedLayers(model).map(({ layer, name }) => [layer, name]));
  const before = [...layers.keys()].map((layer) => ({
    layer,
    // A layer that was adapted has a `call` of its own, others that of their class.
    own: Object.getOwnPropertyDescriptor(layer, "call"),
  }));
  for (const [layer, name] of layers) {
    const { call } = layer;
    layer.call = function (...args) {
      const outputs = call.apply(this, args);
      return Array.isArray(outputs)
        ? outputs.map((output) => onOutput(name, output))
        : onOutput(name, outputs);
    };
  }
  try {
    return action();
  } finally {
    for (const { layer, own } of before) {
      if (own) Object.defineProperty(layer, "call", own);
      else delete (layer as Partial<tf.layers.Layer>).call;
    }
  }
}

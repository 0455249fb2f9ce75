/**
 * A model's layers with names that are the same in each process.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";

/** A layer that doesn't consist of others, with the name that prefixes its parameters' names. */
export interface NamedLayer {
  /** With those of the models around it, such as `features.conv1`. */
  readonly name: string;
  readonly layer: tf.layers.Layer;
  /** The layer of the model itself in which this one lies, or which it is. */
  readonly top: tf.layers.Layer;
}

/**
 * Returns the layers of a model and of the models inside of it. Layers keep their own names, except for names
 * that TensorFlow.js makes from a counter of the process, such as `dense_Dense7`: each model numbers these
 * from its own counter, as `dense_1`.
 */
export function namedLayers(
  model: tf.LayersModel,
  prefix = "",
  top?: tf.layers.Layer,
): NamedLayer[] {
  const counts = new Map<string, number>();
  return model.layers.flatMap((layer) => {
    let { name } = layer;
    const kind = madeUpFrom(layer);
    if (kind !== undefined) {
      const count = (counts.get(kind) ?? 0) + 1;
      counts.set(kind, count);
      name = `${kind}_${count}`;
    }
    const whole = prefix + name;
    return layer instanceof tf.LayersModel
      ? namedLayers(layer, `${whole}.`, top ?? layer)
      : [{ name: whole, layer, top: top ?? layer }];
  });
}

/** The first part of a name that TensorFlow.js has made up. */
function madeUpFrom(layer: tf.layers.Layer): string | undefined {
  const { name } = layer;
  if (layer instanceof tf.LayersModel) return /^(sequential|model|functional)\d+$/.exec(name)?.[1];
  const at = name.lastIndexOf(`_${layer.getClassName()}`);
  const rest = at > 0 ? name.slice(at + 1 + layer.getClassName().length) : "";
  return /^\d+$/.test(rest) ? name.slice(0, at) : undefined;
}

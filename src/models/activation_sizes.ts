/**
 * The sizes of a network's activations, from which the memory of a training step is estimated.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { applyModel } from "./heads.ts";
import { namedLayers } from "./named_layers.ts";
import { parametersOf } from "./parameters.ts";

/** Bytes of the activations of one image, float32. */
export interface ActivationSizes {
  /**
   * The outputs of convolutions and linear layers from the first layer on that learns: backward needs each of them, so a
   * step takes no less.
   */
  readonly least: number;
  /** The outputs of all layers from the first one on that learns: about what a step takes. */
  readonly estimated: number;
}

const FLOAT_BYTES = 4;
/** Layers whose output is computed anew, and needed in the backward pass of the layer behind them. */
const MULTIPLYING = new Set(["Conv2D", "DepthwiseConv2D", "Dense"]);

/**
 * Measures the activations by a forward pass of one image, which changes no state.
 *
 * @param size Height and width of the images
 */
export function activationSizes(
  model: tf.LayersModel,
  [height, width]: readonly [number, number],
): ActivationSizes {
  const learning = new Set(
    parametersOf(model).flatMap(({ layer, trainable }) => trainable ? [layer] : []),
  );
  const sizes = { least: 0, estimated: 0 };
  let learns = false;
  const restores = namedLayers(model).map(({ name, layer }) => {
    const { call } = layer;
    const isOwn = Object.hasOwn(layer, "call");
    layer.call = (...args: Parameters<typeof call>) => {
      const outputs = call.apply(layer, args);
      learns ||= learning.has(name);
      if (learns) {
        const bytes = FLOAT_BYTES * [outputs].flat().reduce((sum, { size }) => sum + size, 0);
        sizes.estimated += bytes;
        if (MULTIPLYING.has(layer.getClassName())) sizes.least += bytes;
      }
      return outputs;
    };
    return () => {
      if (isOwn) layer.call = call;
      else Reflect.deleteProperty(layer, "call");
    };
  });
  try {
    tf.tidy(() => void applyModel(model, tf.zeros([1, height, width, 3]), false));
    return sizes;
  } finally {
    restores.forEach((restore) => restore());
  }
}

/**
 * A model's parameters and buffers under PyTorch's names, with the way between the two layouts.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { isFrozenLayer } from "./layers.ts";
import { type NamedLayer, namedLayers } from "./named_layers.ts";

/** Kind of a parameter, which decides its layout; `asIs` is TensorFlow.js's own, of layers that PyTorch hasn't. */
export type ParameterKind = "conv" | "depthwise" | "linear" | "vector" | "asIs";

/** A parameter or buffer of a model. */
export interface Parameter {
  /** PyTorch's, such as `layer1.0.conv1.weight`. */
  readonly name: string;
  /** Its layer's name, such as `layer1.0.conv1`. */
  readonly layer: string;
  readonly variable: tf.Variable;
  /** tfjs's holder of the variable, which records whether the variable is trained. */
  readonly weight: tf.layers.Layer["weights"][0];
  readonly kind: ParameterKind;
  /** Shape in PyTorch's layout: convolutions OIHW, linear layers [out, in]. */
  readonly torchShape: readonly number[];
  /** Running statistics of BatchNorm: no gradient. */
  readonly buffer: boolean;
  /** True if training changes the parameter. */
  readonly trainable: boolean;
}

interface WeightNames {
  readonly suffix: string;
  readonly kind: ParameterKind;
  readonly buffer?: boolean;
}

/** tfjs's name of a layer's weight → PyTorch's. */
const WEIGHTS: Record<string, Record<string, WeightNames>> = {
  Conv2D: {
    kernel: { suffix: "weight", kind: "conv" },
    bias: { suffix: "bias", kind: "vector" },
  },
  DepthwiseConv2D: {
    depthwise_kernel: { suffix: "weight", kind: "depthwise" },
    bias: { suffix: "bias", kind: "vector" },
  },
  Dense: {
    kernel: { suffix: "weight", kind: "linear" },
    bias: { suffix: "bias", kind: "vector" },
  },
  BatchNormalization: {
    gamma: { suffix: "weight", kind: "vector" },
    beta: { suffix: "bias", kind: "vector" },
    moving_mean: { suffix: "running_mean", kind: "vector", buffer: true },
    moving_variance: { suffix: "running_var", kind: "vector", buffer: true },
  },
};

/** Position in PyTorch's layout of each axis of tfjs's. */
const FROM_TORCH: Record<Exclude<ParameterKind, "asIs">, readonly number[]> = {
  conv: [2, 3, 1, 0], // OIHW → HWIO
  depthwise: [2, 3, 0, 1], // C1HW → HWC1
  linear: [1, 0],
  vector: [0],
};

/** The inverse of {@linkcode FROM_TORCH}. */
const TO_TORCH: Record<Exclude<ParameterKind, "asIs">, readonly number[]> = {
  conv: [3, 2, 0, 1],
  depthwise: [2, 3, 0, 1],
  linear: [1, 0],
  vector: [0],
};

/** Parameters and buffers in an order that depends on the architecture alone. */
export function parametersOf(model: tf.LayersModel): Parameter[] {
  return namedLayers(model).flatMap(layerParameters);
}

/** Parameters and buffers of one layer. */
export function layerParameters({ name: layerName, layer }: NamedLayer): Parameter[] {
  const known = WEIGHTS[layer.getClassName()];
  const seen = new Map<string, number>();
  return layer.weights.map((weight) => {
    // The name ends in the weight's own, and in "_1" and so on when a model was built before.
    const own = weight.originalName.slice(weight.originalName.lastIndexOf("/") + 1);
    const variable = weight.read() as tf.Variable;
    const { suffix, kind, buffer } = known?.[own] ?? unknownWeight(layer, weight, own, seen);
    return {
      name: `${layerName}.${suffix}`,
      layer: layerName,
      variable,
      weight,
      kind,
      torchShape: kind === "asIs"
        ? variable.shape
        : TO_TORCH[kind].map((axis) => variable.shape[axis]),
      buffer: buffer ?? false,
      trainable: buffer ? !isFrozenLayer(layer) : layer.trainable && weight.trainable,
    };
  });
}

/** A weight of a layer that PyTorch has no like of: its name and layout are TensorFlow.js's. */
function unknownWeight(
  layer: tf.layers.Layer,
  weight: Parameter["weight"],
  own: string,
  seen: Map<string, number>,
): WeightNames {
  const count = (seen.get(own) ?? 0) + 1;
  seen.set(own, count);
  // Which weights never learn is known only inside of the class: `trainable` says what learns at present.
  const fixed = Reflect.get(layer, "_nonTrainableWeights") as unknown[] | undefined;
  return {
    suffix: count === 1 ? own : `${own}_${count}`,
    kind: "asIs",
    buffer: fixed?.includes(weight) ?? false,
  };
}

/** Turns values in PyTorch's layout into tfjs's. */
export function fromTorch(values: tf.Tensor, kind: ParameterKind): tf.Tensor {
  return isSame(kind) ? tf.clone(values) : tf.transpose(values, [...FROM_TORCH[kind]]);
}

/** Turns values in tfjs's layout into PyTorch's. */
export function toTorch(values: tf.Tensor, kind: ParameterKind): tf.Tensor {
  return isSame(kind) ? tf.clone(values) : tf.transpose(values, [...TO_TORCH[kind]]);
}

/** Tells whether both layouts of a parameter are the same. */
function isSame(kind: ParameterKind): kind is "vector" | "asIs" {
  return kind === "vector" || kind === "asIs";
}

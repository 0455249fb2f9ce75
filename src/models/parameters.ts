/**
 * A model's parameters and buffers under PyTorch's names, with the way between the two layouts.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { BatchNorm } from "./layers.ts";

/** Kind of a parameter, which decides its layout. */
export type ParameterKind = "conv" | "depthwise" | "linear" | "vector";

/** A parameter or buffer of a model. */
export interface Parameter {
  /** PyTorch's, such as `layer1.0.conv1.weight`. */
  readonly name: string;
  readonly variable: tf.Variable;
  /** tfjs's holder of the variable, which says whether it learns. */
  readonly weight: tf.layers.Layer["weights"][0];
  readonly kind: ParameterKind;
  /** Shape in PyTorch's layout: convolutions OIHW, linear layers [out, in]. */
  readonly torchShape: readonly number[];
  /** Running statistics of BatchNorm: no gradient. */
  readonly buffer: boolean;
  /** Whether training changes it. */
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
const FROM_TORCH: Record<ParameterKind, readonly number[]> = {
  conv: [2, 3, 1, 0], // OIHW → HWIO
  depthwise: [2, 3, 0, 1], // C1HW → HWC1
  linear: [1, 0],
  vector: [0],
};

/** The inverse of {@linkcode FROM_TORCH}. */
const TO_TORCH: Record<ParameterKind, readonly number[]> = {
  conv: [3, 2, 0, 1],
  depthwise: [2, 3, 0, 1],
  linear: [1, 0],
  vector: [0],
};

/** Parameters and buffers in an order that depends on the architecture alone. */
export function parametersOf(model: tf.LayersModel): Parameter[] {
  return model.layers.flatMap((layer) => layer.weights.map((weight) => parameterOf(layer, weight)));
}

function parameterOf(layer: tf.layers.Layer, weight: tf.layers.Layer["weights"][0]): Parameter {
  const className = layer.getClassName();
  // The name ends in the weight's own, and in "_1" and so on when a model was built before.
  const own = weight.originalName.slice(weight.originalName.lastIndexOf("/") + 1);
  const names = WEIGHTS[className]?.[own];
  if (!names) {
    throw new TypeError(
      `Weight ${weight.originalName} of a ${className} layer has no PyTorch name`,
    );
  }
  const variable = weight.read() as tf.Variable;
  const { suffix, kind, buffer = false } = names;
  return {
    name: `${layer.name}.${suffix}`,
    variable,
    weight,
    kind,
    torchShape: TO_TORCH[kind].map((axis) => variable.shape[axis]),
    buffer,
    trainable: buffer ? !(layer instanceof BatchNorm && layer.frozen) : weight.trainable,
  };
}

/** Turns values in PyTorch's layout into tfjs's. */
export function fromTorch(values: tf.Tensor, kind: ParameterKind): tf.Tensor {
  return kind === "vector" ? tf.clone(values) : tf.transpose(values, [...FROM_TORCH[kind]]);
}

/** Turns values in tfjs's layout into PyTorch's. */
export function toTorch(values: tf.Tensor, kind: ParameterKind): tf.Tensor {
  return kind === "vector" ? tf.clone(values) : tf.transpose(values, [...TO_TORCH[kind]]);
}

/**
 * The ops of a trace that compute with 16 bits.
 *
 * The lists follow PyTorch's autocast: convolutions and matrix products take 16-bit factors; ops that lose nothing by it
 * keep the format of what they are given; everything else, above all sums and losses, computes with float32. A gradient
 * has the format of the tensor whose gradient it is. Parameters are float32, and are rounded once per trace.
 *
 * @module
 */
import type { Precision } from "../precision.ts";

/** `DT_HALF` and `DT_BFLOAT16`, which tfjs doesn't know. */
const TYPES: Readonly<Partial<Record<Precision, number>>> = { float16: 19, bfloat16: 14 };

/** Settings on which the format of a trace depends. */
export interface CastSettings {
  /** `float32` unless given. */
  readonly precision?: Precision | undefined;
  readonly xla?: boolean | undefined;
}

/**
 * Returns the 16-bit type (`TF_DataType`) of a trace; nothing where it has none. TensorFlow's graph optimizer has a
 * rewrite of its own to bfloat16 on CPUs, which knows what oneDNN fuses.
 */
export function narrowType(
  { precision = "float32", xla = false }: CastSettings,
  hasGpu: boolean,
): number | undefined {
  return isRewritten({ precision, xla }, hasGpu) ? undefined : TYPES[precision];
}

/** Tells whether TensorFlow's graph optimizer rewrites a function to bfloat16. */
export function isRewritten({ precision, xla = false }: CastSettings, hasGpu: boolean): boolean {
  return precision === "bfloat16" && !hasGpu && !xla;
}

/** Ops whose factors are rounded to 16 bits. */
const ROUNDS = new Set([
  "BatchMatMul",
  "BatchMatMulV2",
  "Conv2D",
  "Conv2DBackpropFilter",
  "Conv2DBackpropInput",
  "DepthwiseConv2dNative",
  "DepthwiseConv2dNativeBackpropFilter",
  "DepthwiseConv2dNativeBackpropInput",
  "MatMul",
]);

/** Ops that compute with 16 bits where all of their inputs have them; a single number takes the others' format. */
const FOLLOWS = new Set([
  "Add",
  "AddN",
  "AddV2",
  "AvgPool",
  "AvgPoolGrad",
  "BiasAdd",
  "ConcatV2",
  "Elu",
  "Identity",
  "LeakyRelu",
  "MaxPool",
  "Maximum",
  "Minimum",
  "MirrorPad",
  "Mul",
  "Neg",
  "Pack",
  "Pad",
  "PadV2",
  "Relu",
  "Relu6",
  "Reshape",
  "Select",
  "SelectV2",
  "Sigmoid",
  "Slice",
  "Snapshot",
  "Split",
  "SplitV",
  "StridedSlice",
  "Sub",
  "Tanh",
  "Tile",
  "Transpose",
  "Unpack",
  "ZerosLike",
]);

/** Ops whose format is that of one input: the layer's own input or output, in the case of a gradient. */
const DECIDED_BY: ReadonlyMap<string, number> = new Map([
  ["EluGrad", 1],
  ["FusedBatchNorm", 0],
  ["FusedBatchNormGradV3", 1],
  ["FusedBatchNormV3", 0],
  ["LeakyReluGrad", 1],
  ["MaxPoolGrad", 0],
  ["Relu6Grad", 1],
  ["ReluGrad", 1],
  ["SigmoidGrad", 0],
  ["TanhGrad", 0],
]);

/** An input of an op's main type. */
export interface CastInput {
  /** Position among the op's inputs. */
  readonly position: number;
  /** True if it was computed with 16 bits. */
  readonly isNarrow: boolean;
  readonly rank: number;
}

/**
 * Tells whether an op computes with 16 bits.
 *
 * @param inputs The op's inputs of its main type, float32 or of 16 bits
 */
export function isNarrowOp(op: string, inputs: readonly CastInput[]): boolean {
  if (ROUNDS.has(op)) return true;
  const decisive = DECIDED_BY.get(op);
  if (decisive !== undefined) {
    return inputs.find(({ position }) => position === decisive)?.isNarrow ?? false;
  }
  return FOLLOWS.has(op) && inputs.some(({ isNarrow }) => isNarrow) &&
    inputs.every(({ isNarrow, rank }) => isNarrow || rank === 0);
}

/**
 * Ops that move and choose elements of arrays, also of uint8, which tfjs doesn't know. Each has a kernel for GPUs for
 * the types that it takes here. And the look for values that are not finite.
 *
 * @module
 */
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  DATA_TYPES,
  typeAttribute,
} from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

/** Type of the elements. */
export type ArrayType = "uint8" | "float32";

const TYPES = { uint8: DATA_TYPES.TF_UINT8, float32: DATA_TYPES.TF_FLOAT } as const;
const INDEX_TYPE = DATA_TYPES.TF_INT32;

/** Changes the shape. */
export function reshaped(x: tf.Tensor, type: ArrayType, shape: readonly number[]): tf.Tensor {
  const attributes = [typeAttribute("T", TYPES[type]), typeAttribute("Tshape", INDEX_TYPE)];
  return run("Reshape", attributes, [x, int32(shape)]);
}

/** Returns the elements in reverse order along an axis. */
export function reversed(x: tf.Tensor, type: ArrayType, axis: number): tf.Tensor {
  const attributes = [typeAttribute("Tidx", INDEX_TYPE), typeAttribute("T", TYPES[type])];
  return run("ReverseV2", attributes, [x, int32([axis])]);
}

/** Returns the elements from `begin` to `end` of an axis. */
export function part(
  x: tf.Tensor,
  type: ArrayType,
  [begin, end]: readonly [number, number],
  axis = 0,
): tf.Tensor {
  const size = axis + 1;
  const onAxis = (value: number, other: number) =>
    int32(Array.from({ length: size }, (_, at) => at === axis ? value : other));
  const mask = 2 ** axis - 1; // all of the axes before
  return run("StridedSlice", [
    typeAttribute("T", TYPES[type]),
    typeAttribute("Index", INDEX_TYPE),
    intAttribute("begin_mask", mask),
    intAttribute("end_mask", mask),
    ...["ellipsis_mask", "new_axis_mask", "shrink_axis_mask"].map((name) => intAttribute(name, 0)),
  ], [x, onAxis(begin, 0), onAxis(end, 0), onAxis(1, 1)]);
}

/** Joins two tensors along their first axis. */
export function joined(a: tf.Tensor, b: tf.Tensor, type: ArrayType): tf.Tensor {
  return run("ConcatV2", [
    intAttribute("N", 2),
    typeAttribute("T", TYPES[type]),
    typeAttribute("Tidx", INDEX_TYPE),
  ], [a, b, tf.scalar(0, "int32")]);
}

/**
 * Returns elements of `a` where the condition holds, else of `b`. What is broadcast should be so along outer axes or
 * a short way along the last: TensorFlow's CPU kernel is slow where the last axes are short.
 *
 * @param condition bool
 */
export function chosen(
  condition: tf.Tensor,
  a: tf.Tensor,
  b: tf.Tensor,
  type: ArrayType,
): tf.Tensor {
  return run("SelectV2", [typeAttribute("T", TYPES[type])], [condition, a, b]);
}

/**
 * Returns rows of `a` where the condition holds, else of `b`: four bytes at a time where rows have a multiple of four.
 *
 * @param condition bool [rows, 1]
 * @param a uint8 [rows, bytes]
 * @param b As `a`
 */
export function chosenRows(condition: tf.Tensor, a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const [rows, bytes] = a.shape;
  if (bytes % 4 !== 0) return chosen(condition, a, b, "uint8");
  const words = [a, b].map((x) => {
    const groups = reshaped(x, "uint8", [rows, bytes / 4, 4]);
    return run("Bitcast", bitcast(TYPES.uint8, DATA_TYPES.TF_INT32), [groups]);
  });
  const type = typeAttribute("T", DATA_TYPES.TF_INT32);
  const result = run("SelectV2", [type], [condition, ...words]);
  const groups = run("Bitcast", bitcast(DATA_TYPES.TF_INT32, TYPES.uint8), [result]);
  return reshaped(groups, "uint8", [rows, bytes]);
}

function bitcast(from: number, to: number): Attribute[] {
  return [typeAttribute("T", from), typeAttribute("type", to)];
}

/** float32 values of uint8 ones. */
export function floatsOfBytes(x: tf.Tensor): tf.Tensor {
  return run("Cast", [
    typeAttribute("SrcT", TYPES.uint8),
    typeAttribute("DstT", TYPES.float32),
    { name: "Truncate", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: false },
  ], [x]);
}

function run(op: string, attributes: Attribute[], inputs: tf.Tensor[]): tf.Tensor {
  return nativeBackend().executeSingleOutput(op, attributes, inputs);
}

function intAttribute(name: string, value: number): Attribute {
  return { name, type: ATTRIBUTE_TYPES.TF_ATTR_INT, value };
}

function int32(values: readonly number[]): tf.Tensor {
  return tf.tensor1d([...values], "int32");
}

/** Tells whether a float32 tensor holds NaN or infinity: float32, 1 or 0. */
export function anyNonFinite(values: tf.Tensor): tf.Tensor {
  return tf.cast(tf.any(tf.logicalNot(tf.isFinite(values))), "float32");
}

/**
 * The conversion of a model to a graph that takes any number of images.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { DATA_TYPES } from "../engine/binding/attributes.ts";
import { type RecordedOp, type Recording, recordOps } from "../engine/capture/recording.ts";
import type { TensorId } from "../engine/binding/runtime.ts";
import { tf } from "../engine/tf.ts";
import { withPlainPooling } from "../models/finite_pooling.ts";
import { applyModel } from "../models/heads.ts";
import { parametersOf } from "../models/parameters.ts";
import { type Constant, constantNode, type Graph, type GraphNode, type Output } from "./graph.ts";

/** Name of the graph's input: float32 [n, h, w, 3], normalized. */
export const INPUT_NAME = "images";
/** Results of the graph: [n, classes] each. */
export const RESULT_NAMES = ["logits", "probabilities"] as const;

/** Two numbers of images; values that differ between the two recordings depend on the number. */
const COUNTS = [2, 3] as const;

/**
 * Records a model's inference pass on images of one size.
 *
 * The pass is recorded twice, with two numbers of images: a dimension that differs between the two is the number of
 * images, and any number may stand in its place.
 *
 * @param size Height and width of the images
 * @throws {LockstepError} when the model depends on the number of images in another way
 */
export function recordGraph(
  model: tf.LayersModel,
  [height, width]: readonly [number, number],
): Graph {
  const parameters = parametersOf(model);
  const variables = parameters.map(({ variable }) => variable);
  const [recording, other] = COUNTS.map((count) =>
    recordOps(
      (images) => {
        const [logits] = withPlainPooling(() => applyModel(model, images, false));
        return [logits, tf.softmax(logits)];
      },
      [[count, height, width, 3]],
      variables,
    )
  );
  const { counted, shapes } = compare(recording, other);
  const outputs = new Map<TensorId, Output>();
  const input: GraphNode = {
    name: INPUT_NAME,
    op: "Placeholder",
    inputs: [],
    attributes: [],
    shape: [-1, height, width, 3],
  };
  outputs.set(recording.inputs[0], { node: input, index: 0 });
  for (const [id, position] of recording.variables) {
    const { name, variable } = parameters[position];
    const values = variable.dataSync() as Float32Array;
    outputs.set(id, {
      node: constantNode(name, { dtype: "float32", shape: variable.shape, values }),
      index: 0,
    });
  }
  for (const id of recording.constants.keys()) {
    const constant = counted.get(id) ?? constantOf(recording, id);
    outputs.set(id, { node: constantNode("", constant), index: 0 });
  }
  for (const { op, attributes, inputs, outputs: results } of recording.ops) {
    const node: GraphNode = {
      name: "",
      op,
      inputs: inputs.map((id) => outputs.get(id)!),
      attributes: [...attributes],
      shape: shapes.get(results[0])!,
    };
    results.forEach((id, index) => outputs.set(id, { node, index }));
  }
  const results = recording.results.map((id, i) => [RESULT_NAMES[i], outputs.get(id)!] as const);
  return { input, results: new Map(results) };
}

function constantOf({ constants }: Recording, id: TensorId): Constant {
  const { dtype, shape, bytes } = constants.get(id)!;
  if (dtype === DATA_TYPES.TF_FLOAT) {
    return { dtype: "float32", shape, values: new Float32Array(bytes.slice().buffer) };
  }
  if (dtype === DATA_TYPES.TF_INT32) {
    return { dtype: "int32", shape, values: new Int32Array(bytes.slice().buffer) };
  }
  throw new LockstepError(
    `The model has a constant of TensorFlow's type ${dtype}, and only float32 and int32 can be exported: ` +
      "cast it in the model",
  );
}

/** The constants and shapes that depend on the number of images, with -1 in its place. */
interface Counted {
  /** Constants that depend on the number of images. */
  readonly counted: Map<TensorId, Constant>;
  /** Shapes of all results of ops. */
  readonly shapes: Map<TensorId, number[]>;
}

/** Compares two recordings of the same computation with different numbers of images. */
function compare(a: Recording, b: Recording): Counted {
  if (a.ops.length !== b.ops.length) throw dependsOnCount("the number of its ops");
  const twins = new Map<TensorId, TensorId>();
  const counted = new Map<TensorId, Constant>();
  const shapes = new Map<TensorId, number[]>();
  a.inputs.forEach((id, index) => twins.set(id, b.inputs[index]));
  for (const [index, op] of a.ops.entries()) {
    const twin = b.ops[index];
    if (!sameKind(op, twin)) throw dependsOnCount(`its op ${op.op}`);
    op.inputs.forEach((id, position) => {
      const other = twin.inputs[position];
      if ((twins.get(id) ?? other) !== other) throw dependsOnCount(`what its op ${op.op} takes`);
      twins.set(id, other);
      const constant = a.constants.has(id) && replaceCount(constantOf(a, id), b, other, op.op);
      if (constant) counted.set(id, constant);
    });
    op.outputs.forEach((id, position) => {
      const other = twin.outputs[position];
      twins.set(id, other);
      const { shape } = b.computed.get(other)!;
      shapes.set(id, a.computed.get(id)!.shape.map((size, i) => size === shape[i] ? size : -1));
    });
  }
  return { counted, shapes };
}

function sameKind(a: RecordedOp, b: RecordedOp): boolean {
  return a.op === b.op && a.inputs.length === b.inputs.length &&
    JSON.stringify(a.attributes) === JSON.stringify(b.attributes);
}

/** A constant with -1 for what differs in its twin; nothing when they are equal. */
function replaceCount(
  constant: Constant,
  b: Recording,
  id: TensorId,
  op: string,
): Constant | undefined {
  const twin = b.constants.has(id) ? constantOf(b, id) : undefined;
  if (twin?.shape.join() !== constant.shape.join()) throw dependsOnCount(`a constant of ${op}`);
  const different = [...constant.values.keys()]
    .filter((at) => !Object.is(constant.values[at], twin.values[at]));
  if (different.length === 0) return undefined;
  // Only Reshape takes -1 for whatever is left.
  if (op !== "Reshape" || different.length > 1) throw dependsOnCount(`a constant of ${op}`);
  const values = Int32Array.from(constant.values);
  values[different[0]] = -1;
  return { dtype: "int32", shape: constant.shape, values };
}

function dependsOnCount(what: string): LockstepError {
  return new LockstepError(
    `The model can't be exported as a graph for any number of images: ${what} depends on how many there are`,
  );
}

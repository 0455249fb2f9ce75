/**
 * tfjs's graph model: a graph as JSON (TensorFlow's GraphDef in protobuf's JSON form), and its weights as bytes.
 *
 * @module
 */
import { type Attribute, ATTRIBUTE_TYPES, DATA_TYPES } from "../engine/binding/attributes.ts";
import type { tf } from "../engine/tf.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { foldBatchNorm } from "./fold_batch_norm.ts";
import { fuse } from "./fuse.ts";
import { type Constant, type Graph, type GraphNode, nameNodes, nodesOf } from "./graph.ts";
import { recordGraph } from "./record_graph.ts";
import { simplify } from "./simplify.ts";

/** A graph model in memory. */
export interface GraphModel {
  /** `modelTopology`, `signature` and the like: all of `model.json` but the list of the weights' files. */
  readonly description: Record<string, unknown>;
  readonly weightSpecs: readonly WeightSpec[];
  /** Values of the weights, one after the other. */
  readonly weights: readonly Uint8Array<ArrayBuffer>[];
}

/** Name, shape and type of a weight, in the order of the bytes. */
export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32";
}

/**
 * Makes a graph model of a model's inference pass, with BatchNorm folded into convolutions.
 *
 * @param size Height and width of the images
 * @param metadata Entries of `model.json` beside the model
 */
export function makeGraphModel(
  model: tf.LayersModel,
  size: readonly [number, number],
  metadata: Record<string, unknown>,
): GraphModel {
  const graph = recordGraph(model, size);
  simplify(graph);
  foldBatchNorm(graph);
  fuse(graph);
  nameNodes(graph);
  return describe(graph, metadata);
}

/** Bytes of all weights. */
export function weightBytes({ weights }: GraphModel): number {
  return weights.reduce((sum, { length }) => sum + length, 0);
}

function describe(graph: Graph, metadata: Record<string, unknown>): GraphModel {
  const nodes = nodesOf(graph);
  const constants = nodes.flatMap(({ name, constant }) => constant ? [{ name, constant }] : []);
  return {
    description: {
      format: "graph-model",
      generatedBy: `Lockstep ${LOCKSTEP_VERSION}`,
      convertedBy: `Lockstep ${LOCKSTEP_VERSION}`,
      signature: {
        inputs: { [graph.input.name]: tensorInfo(graph.input) },
        outputs: Object.fromEntries(
          [...graph.results].map(([name, { node }]) => [name, tensorInfo(node)]),
        ),
      },
      userDefinedMetadata: metadata,
      modelTopology: {
        node: nodes.map(nodeDef),
        library: {},
        versions: { producer: 2000, minConsumer: 22 },
      },
    },
    weightSpecs: constants.map(({ name, constant: { shape, dtype } }) => ({ name, shape, dtype })),
    weights: constants.map(({ constant: { values: { buffer, byteOffset, byteLength } } }) =>
      new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
    ),
  };
}

function tensorInfo({ name, shape }: GraphNode) {
  return { name: `${name}:0`, dtype: "DT_FLOAT", tensorShape: shapeProto(shape) };
}

function nodeDef(node: GraphNode) {
  const { name, op, inputs, attributes, shape, constant } = node;
  const input = inputs.map(({ node, index }) => index === 0 ? node.name : `${node.name}:${index}`);
  const attr = constant
    ? constantAttributes(constant)
    : op === "Placeholder"
    ? { dtype: { type: "DT_FLOAT" }, shape: { shape: shapeProto(shape) } }
    : Object.fromEntries(attributes.map((one) => [one.name, attrValue(one)]));
  return { name, op, ...(input.length > 0 ? { input } : {}), attr };
}

function constantAttributes({ dtype, shape }: Constant) {
  const type = dtype === "float32" ? "DT_FLOAT" : "DT_INT32";
  return {
    dtype: { type },
    value: { tensor: { dtype: type, tensorShape: shapeProto(shape) } },
  };
}

function shapeProto(shape: readonly number[]) {
  return shape.length > 0 ? { dim: shape.map((size) => ({ size: String(size) })) } : {};
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [DATA_TYPES.TF_FLOAT]: "DT_FLOAT",
  [DATA_TYPES.TF_INT32]: "DT_INT32",
  [DATA_TYPES.TF_UINT8]: "DT_UINT8",
  [DATA_TYPES.TF_STRING]: "DT_STRING",
  [DATA_TYPES.TF_COMPLEX64]: "DT_COMPLEX64",
  [DATA_TYPES.TF_INT64]: "DT_INT64",
  [DATA_TYPES.TF_BOOL]: "DT_BOOL",
};

/** `AttrValue`'s field for each kind of attribute, and its value in JSON. */
function attrValue({ name, type, value }: Attribute): Record<string, unknown> {
  const [field, convert] = fieldOf(name, type);
  if (type !== ATTRIBUTE_TYPES.TF_ATTR_SHAPE && Array.isArray(value)) {
    return { list: { [field]: value.map(convert) } };
  }
  return { [field]: convert(value) };
}

function fieldOf(name: string, type: number): [string, (value: unknown) => unknown] {
  switch (type) {
    case ATTRIBUTE_TYPES.TF_ATTR_STRING:
      return ["s", (value) => new TextEncoder().encode(value as string).toBase64()];
    case ATTRIBUTE_TYPES.TF_ATTR_INT:
      return ["i", String];
    case ATTRIBUTE_TYPES.TF_ATTR_FLOAT:
      return ["f", (value) => value];
    case ATTRIBUTE_TYPES.TF_ATTR_BOOL:
      return ["b", Boolean];
    case ATTRIBUTE_TYPES.TF_ATTR_TYPE:
      return ["type", (value) => TYPE_NAMES[value as number]];
    case ATTRIBUTE_TYPES.TF_ATTR_SHAPE:
      return ["shape", (value) => shapeProto(value as number[])];
    default:
      throw new TypeError(`Attribute ${name} has the kind ${type}, which has no JSON form`);
  }
}

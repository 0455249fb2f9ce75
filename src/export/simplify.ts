/**
 * The removal of ops that recording leaves in a graph without need.
 *
 * @module
 */
import type { Attribute } from "../engine/binding/attributes.ts";
import {
  constantNode,
  countUses,
  type Graph,
  type GraphNode,
  nodesOf,
  type Output,
  replaceNodes,
} from "./graph.ts";

/** Removes ops that change nothing, and computes those on constants alone that only reshape them. */
export function simplify(graph: Graph): void {
  replaceNodes(graph, findIdle(graph));
  flattenProducts(graph);
  replaceNodes(graph, findIdle(graph));
}

function findIdle(graph: Graph): Map<GraphNode, Output> {
  const replacements = new Map<GraphNode, Output>();
  for (const node of nodesOf(graph)) {
    const [first] = node.inputs;
    if (isIdle(node)) replacements.set(node, first);
    else if (node.op === "Reshape" && first.node.constant) {
      const { constant, name } = first.node;
      const reshaped = constantNode(name, { ...constant, shape: node.shape });
      replacements.set(node, { node: reshaped, index: 0 });
    }
  }
  return replacements;
}

function isIdle({ op, inputs, attributes, shape }: GraphNode): boolean {
  if (op === "Identity") return true;
  if (op === "Cast") return attribute(attributes, "SrcT") === attribute(attributes, "DstT");
  return op === "Reshape" && !inputs[0].node.constant && inputs[0].index === 0 &&
    inputs[0].node.shape.join() === shape.join();
}

function attribute(attributes: readonly Attribute[], name: string): unknown {
  return attributes.find((one) => one.name === name)?.value;
}

/**
 * tfjs runs a product of two matrices as one of two lists of one matrix each, with a Reshape before and behind.
 * Makes it a plain product again.
 */
function flattenProducts(graph: Graph): void {
  const uses = countUses(graph);
  const replacements = new Map<GraphNode, Output>();
  for (const node of nodesOf(graph)) {
    const [inner] = node.inputs.map((input) => input.node);
    const isBehind = node.op === "Reshape" && node.shape.length === 2 && isOneMatrix(inner) &&
      inner.shape[2] === node.shape[1];
    const flat = isBehind && flatten(inner, uses);
    if (flat) replacements.set(node, { node: flat, index: 0 });
  }
  replaceNodes(graph, replacements);
}

/** Tells whether a node gives a list of one matrix. */
function isOneMatrix({ shape }: GraphNode): boolean {
  return shape.length === 3 && shape[0] === 1;
}

/** The node that gives the one matrix of a list: of a product, with or without a bias. */
function flatten(node: GraphNode, uses: ReadonlyMap<GraphNode, number>): GraphNode | undefined {
  if (uses.get(node) !== 1) return undefined;
  const shape = node.shape.slice(1);
  const [left, right] = node.inputs;
  if (node.op === "Add" && right.node.constant?.values.length === shape[1]) {
    const flat = flatten(left.node, uses);
    const vector = constantNode(right.node.name, { ...right.node.constant, shape: [shape[1]] });
    return flat &&
      { ...node, shape, inputs: [{ node: flat, index: 0 }, { node: vector, index: 0 }] };
  }
  const matrices = [plainMatrix(left.node), plainMatrix(right.node)];
  if (node.op !== "BatchMatMulV2" || !matrices[0] || !matrices[1]) return undefined;
  const attributes = node.attributes.map((one) => ({
    ...one,
    name: MATMUL_NAMES[one.name] ?? one.name,
  }));
  return { name: "", op: "MatMul", inputs: matrices as Output[], attributes, shape };
}

/** Attributes of `MatMul` by their names in `BatchMatMulV2`. */
const MATMUL_NAMES: Readonly<Record<string, string>> = {
  adj_x: "transpose_a",
  adj_y: "transpose_b",
};

/** The matrix that a node makes a list of one matrix of. */
function plainMatrix(node: GraphNode): Output | undefined {
  if (!isOneMatrix(node)) return undefined;
  const { op, inputs: [inner], shape, constant, name } = node;
  if (constant) {
    return { node: constantNode(name, { ...constant, shape: shape.slice(1) }), index: 0 };
  }
  const { shape: before } = op === "Reshape" ? inner.node : { shape: [] };
  return before.length === 2 && before[1] === shape[2] ? inner : undefined;
}

/**
 * Joins convolutions and products with the bias and the activation behind them into one op.
 *
 * @module
 */
import { ATTRIBUTE_TYPES } from "../engine/binding/attributes.ts";
import {
  constantNode,
  countUses,
  type Graph,
  type GraphNode,
  nodesOf,
  type Output,
  replaceNodes,
} from "./graph.ts";

/** TensorFlow's fused ops by the ops that they begin with; tfjs has kernels of their own for them. */
const FUSED: Readonly<Record<string, string>> = {
  Conv2D: "_FusedConv2D",
  DepthwiseConv2dNative: "FusedDepthwiseConv2dNative",
  MatMul: "_FusedMatMul",
};
const ACTIVATIONS = new Set(["Relu", "Relu6"]);

/** Fuses all that can be: with a bias, then with an activation. */
export function fuse(graph: Graph): void {
  replaceAll(graph, fuseBias);
  replaceAll(graph, fuseActivation);
}

type Rule = (node: GraphNode, uses: ReadonlyMap<GraphNode, number>) => GraphNode | undefined;

function replaceAll(graph: Graph, rule: Rule): void {
  const uses = countUses(graph);
  const replacements = new Map<GraphNode, Output>();
  for (const node of nodesOf(graph)) {
    const fused = rule(node, uses);
    if (fused) replacements.set(node, { node: fused, index: 0 });
  }
  replaceNodes(graph, replacements);
}

/** `op(x, w) + bias`. */
const fuseBias: Rule = (node, uses) => {
  if (node.op !== "Add") return undefined;
  const [inner, bias] = node.inputs.map((input) => input.node);
  const channels = inner.shape.at(-1);
  const isBias = bias.constant && bias.constant.values.length === channels &&
    bias.shape.at(-1) === channels;
  if (!(inner.op in FUSED) || uses.get(inner) !== 1 || !isBias) return undefined;
  const vector = constantNode(bias.name, { ...bias.constant!, shape: [channels!] });
  return {
    ...inner,
    op: FUSED[inner.op],
    inputs: [...inner.inputs, { node: vector, index: 0 }],
    attributes: [
      ...inner.attributes,
      fusedOps(["BiasAdd"]),
      { name: "num_args", type: ATTRIBUTE_TYPES.TF_ATTR_INT, value: 1 },
      { name: "epsilon", type: ATTRIBUTE_TYPES.TF_ATTR_FLOAT, value: 0 },
    ],
  };
};

/** `activation(fused)`. */
const fuseActivation: Rule = (node, uses) => {
  if (!ACTIVATIONS.has(node.op)) return undefined;
  const [inner] = node.inputs.map((input) => input.node);
  if (!Object.values(FUSED).includes(inner.op) || uses.get(inner) !== 1) return undefined;
  const attributes = inner.attributes.filter(({ name }) => name !== "fused_ops");
  return { ...inner, attributes: [...attributes, fusedOps(["BiasAdd", node.op])] };
};

function fusedOps(value: string[]) {
  return { name: "fused_ops", type: ATTRIBUTE_TYPES.TF_ATTR_STRING, value };
}

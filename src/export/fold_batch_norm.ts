/**
 * Multiplies BatchNorm of eval mode into the convolution before it.
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "../engine/binding/attributes.ts";
import {
  constantNode,
  countUses,
  type Graph,
  type GraphNode,
  nodesOf,
  type Output,
  replaceNodes,
} from "./graph.ts";

/** Ops that BatchNorm can be multiplied into, and the axes of their weights that are their output's channels. */
const OUTPUT_AXES: Readonly<Record<string, number>> = {
  Conv2D: 1,
  DepthwiseConv2dNative: 2,
};

/**
 * Folds each BatchNorm that stands behind a convolution, with or without a bias: with `s = γ / √(σ² + ε)`, weights
 * `w·s` and a bias `β + (b − μ)·s`. Computed in 64 bits and rounded once.
 */
export function foldBatchNorm(graph: Graph): void {
  const uses = countUses(graph);
  const replacements = new Map<GraphNode, Output>();
  for (const node of nodesOf(graph)) {
    if (node.op !== "FusedBatchNorm") continue;
    const convolution = findConvolution(node.inputs[0].node, uses);
    const folded = convolution && fold(node, convolution);
    if (folded) replacements.set(node, { node: folded, index: 0 });
  }
  replaceNodes(graph, replacements);
}

interface Convolution {
  readonly node: GraphNode;
  readonly bias?: GraphNode;
}

/** The convolution whose result nothing but this BatchNorm takes. */
function findConvolution(
  node: GraphNode,
  uses: ReadonlyMap<GraphNode, number>,
): Convolution | undefined {
  if (uses.get(node) !== 1) return undefined;
  if (node.op in OUTPUT_AXES) return { node };
  const [inner, bias] = node.inputs.map((input) => input.node);
  const isBias = node.op === "Add" && inner.op in OUTPUT_AXES && bias.constant;
  return isBias && uses.get(inner) === 1 ? { node: inner, bias } : undefined;
}

function fold(norm: GraphNode, { node, bias }: Convolution): GraphNode | undefined {
  const [gamma, beta, mean, variance] = norm.inputs.slice(1).map((input) => input.node.constant);
  const weight = node.inputs[1].node;
  if (!gamma || !beta || !mean || !variance || !weight.constant) return undefined;
  const channels = gamma.values.length;
  if (bias && bias.constant!.values.length !== channels) return undefined;
  const epsilon = norm.attributes.find(({ name }) => name === "epsilon")!.value as number;
  const scale = Float64Array.from(gamma.values, (value, channel) => {
    return value / Math.sqrt(variance.values[channel] + epsilon);
  });
  const shift = Float32Array.from(beta.values, (value, channel) => {
    const before = bias?.constant?.values[channel] ?? 0;
    return value + (before - mean.values[channel]) * scale[channel];
  });
  // Channels are the last axis, or for depthwise ones the last two: either way the fastest index.
  const values = Float32Array.from(
    weight.constant.values,
    (value, at) => value * scale[at % channels],
  );
  const folded: GraphNode = {
    ...node,
    inputs: [node.inputs[0], {
      node: constantNode(weight.name, { ...weight.constant, values }),
      index: 0,
    }],
  };
  const biasName = weight.name.replace(/weight$/, "bias");
  return {
    name: "",
    op: "Add",
    attributes: [typeAttribute("T", DATA_TYPES.TF_FLOAT)],
    shape: node.shape,
    inputs: [
      { node: folded, index: 0 },
      {
        node: constantNode(biasName, { dtype: "float32", shape: [channels], values: shift }),
        index: 0,
      },
    ],
  };
}

/**
 * A computation as named nodes, which passes change before it is written as tfjs's graph model.
 *
 * @module
 */
import type { Attribute } from "../engine/binding/attributes.ts";

/** One output of a node. */
export interface Output {
  readonly node: GraphNode;
  readonly index: number;
}

/** A tensor that is part of the graph. */
export interface Constant {
  readonly dtype: "float32" | "int32";
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Float32Array | Int32Array;
}

/** An op, or a constant (`Const`), or the images that come in (`Placeholder`). */
export interface GraphNode {
  /** Unique once {@linkcode nameNodes} has seen the graph. */
  name: string;
  op: string;
  inputs: Output[];
  attributes: Attribute[];
  /** Shape of the first output; the first dimension is -1 where it is the number of images. */
  shape: readonly number[];
  constant?: Constant;
}

/** Images in, named results out. */
export interface Graph {
  readonly input: GraphNode;
  readonly results: Map<string, Output>;
}

/** Makes a `Const` node. */
export function constantNode(name: string, constant: Constant): GraphNode {
  const { shape } = constant;
  return { name, op: "Const", inputs: [], attributes: [], shape, constant };
}

/** All nodes that the results depend on, each behind its inputs; the graph's input is always among them. */
export function nodesOf(graph: Graph): GraphNode[] {
  const order = new Set<GraphNode>([graph.input]);
  const visiting: { node: GraphNode; next: number }[] = [];
  const enter = (node: GraphNode) => {
    if (!order.has(node)) visiting.push({ node, next: 0 });
  };
  for (const { node } of graph.results.values()) {
    enter(node);
    // A stack of its own: a deep network would overflow the call stack.
    for (let top = visiting.at(-1); top; top = visiting.at(-1)) {
      if (top.next < top.node.inputs.length) enter(top.node.inputs[top.next++].node);
      else order.add(visiting.pop()!.node);
    }
  }
  return [...order];
}

/** Counts the uses of each node's outputs as inputs of nodes and as results. */
export function countUses(graph: Graph): Map<GraphNode, number> {
  const uses = new Map<GraphNode, number>();
  const count = ({ node }: Output) => uses.set(node, (uses.get(node) ?? 0) + 1);
  for (const node of nodesOf(graph)) node.inputs.forEach(count);
  for (const result of graph.results.values()) count(result);
  return uses;
}

/**
 * Puts other outputs in the place of some nodes' first ones, wherever these are used.
 *
 * @param replacements The output that replaces each node; a replacement that is itself replaced is followed
 */
export function replaceNodes(graph: Graph, replacements: ReadonlyMap<GraphNode, Output>): void {
  const resolve = (output: Output): Output => {
    let current = output;
    for (let next = replacements.get(current.node); next; next = replacements.get(current.node)) {
      if (current.index !== 0) break;
      current = next;
    }
    return current;
  };
  for (const [name, output] of graph.results) graph.results.set(name, resolve(output));
  // What stands for a node may itself take others that are replaced.
  const pending = [...graph.results.values()].map(({ node }) => node);
  const seen = new Set(pending);
  for (let node = pending.pop(); node; node = pending.pop()) {
    node.inputs = node.inputs.map(resolve);
    for (const { node: input } of node.inputs) {
      if (seen.has(input)) continue;
      seen.add(input);
      pending.push(input);
    }
  }
}

/**
 * Gives each node a name of its own: results their names, ops with a parameter the parameter's without its last
 * part, all others their op's, each with a number where it is taken.
 */
export function nameNodes(graph: Graph): void {
  const taken = new Set([...graph.results.keys(), graph.input.name]);
  const results = new Map([...graph.results].map(([name, { node }]) => [node, name]));
  for (const node of nodesOf(graph)) {
    if (node === graph.input || results.has(node)) continue;
    const wanted = node.name || ownName(node) || node.op.replace(/^_/, "");
    let name = wanted;
    for (let number = 1; taken.has(name); number++) name = `${wanted}_${number}`;
    node.name = name;
    taken.add(name);
  }
  for (const [node, name] of results) node.name = name;
}

/** The layer whose parameters an op takes. */
function ownName({ inputs }: GraphNode): string {
  const parameter = inputs.find(({ node }) => /\.(weight|bias)$/.test(node.name))?.node.name;
  return parameter ? parameter.slice(0, parameter.lastIndexOf(".")) : "";
}

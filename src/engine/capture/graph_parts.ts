/**
 * Cuts a graph into parts that run one after the other.
 *
 * @module
 */

/** `TF_Output`: a node and the number of one of its outputs. Each output is one object. */
export interface GraphOutput {
  readonly node: GraphNode;
  readonly index: number;
}

/** A node of a graph. */
export interface GraphNode {
  readonly pointer: Deno.PointerValue;
  /** Number of the node in the order of creation, counted from 0. */
  readonly position: number;
  /** The node's inputs; none for arguments and constants. */
  readonly takes: readonly GraphOutput[];
  readonly kind: "argument" | "constant" | "op";
}

/** A graph's results. */
export interface GraphResult {
  /** The output that is the result. */
  readonly source: GraphOutput;
  /** A node's output that gives the source as a result; it is in the source's part. */
  readonly output: GraphOutput;
}

/** A part of a graph; only nodes that some result needs are in one. */
export interface GraphPart {
  /** Number of cuts before the part. */
  readonly cutsBefore: number;
  /** The nodes to run, in order. Constants are in each part that takes them. */
  readonly nodes: readonly GraphNode[];
  /** Arguments, and outputs of earlier parts' nodes. */
  readonly takes: readonly GraphOutput[];
  /** Positions of the results that it gives. */
  readonly results: readonly number[];
  /** Outputs of its nodes that later parts take. */
  readonly carried: readonly GraphOutput[];
  /** Outputs of earlier parts' nodes that no part after this one takes. */
  readonly done: readonly GraphOutput[];
}

/**
 * Cuts a graph.
 *
 * @param cuts Positions of nodes after which a part ends and the next begins, rising
 * @returns The parts that have anything to do
 */
export function cutGraph(results: readonly GraphResult[], cuts: readonly number[]): GraphPart[] {
  const partOf = ({ kind, position }: GraphNode) =>
    kind === "op" ? cuts.filter((cut) => cut < position).length : 0;
  const placed = new Map<GraphNode, number>();
  for (const { source, output } of results) placed.set(output.node, partOf(source.node));
  const waiting = [...placed.keys()];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    for (const { node: taken } of node.takes) {
      if (taken.kind !== "op" || placed.has(taken)) continue;
      placed.set(taken, partOf(taken));
      waiting.push(taken);
    }
  }

  const numbers = Array.from({ length: cuts.length + 1 }, (_, part) => part);
  const nodes = numbers.map(() => new Set<GraphNode>());
  const takes = numbers.map(() => new Set<GraphOutput>());
  const carried = numbers.map(() => new Set<GraphOutput>());
  const lastTaker = new Map<GraphOutput, number>();
  for (const [node, part] of placed) {
    nodes[part].add(node);
    for (const output of node.takes) {
      const from = placed.get(output.node);
      if (output.node.kind === "constant") nodes[part].add(output.node);
      else if (from !== part) takes[part].add(output);
      if (from === undefined || from === part) continue;
      carried[from].add(output);
      lastTaker.set(output, Math.max(part, lastTaker.get(output) ?? part));
    }
  }
  return numbers.filter((part) => nodes[part].size > 0).map((part) => ({
    cutsBefore: part,
    nodes: [...nodes[part]].sort((a, b) => a.position - b.position),
    takes: [...takes[part]],
    results: [...results.keys()].filter((index) => placed.get(results[index].output.node) === part),
    carried: [...carried[part]],
    done: [...takes[part]].filter((output) => lastTaker.get(output) === part),
  }));
}

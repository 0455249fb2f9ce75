/**
 * The time of a training step, op by op: each captured function of a replica, node by node.
 *
 * @module
 */
import { dtypeBytes } from "../engine/binding/attributes.ts";
import type { GraphRun } from "../engine/capture/graph_session.ts";
import type { NodeRun } from "../engine/capture/run_metadata.ts";
import { median } from "../base/statistics.ts";

/** All nodes of one type in one function. */
export interface OpRow {
  /** The captured function. */
  readonly part: string;
  readonly op: string;
  readonly count: number;
  /** Milliseconds of all of them together, in a run. */
  readonly milliseconds: number;
  /** Of the time of all nodes of the step; of an evaluation's, those of the evaluation. */
  readonly share: number;
  /** Bytes of what they give. */
  readonly bytes: number;
}

/** One node. */
export interface NodeRow {
  readonly part: string;
  readonly node: string;
  readonly op: string;
  /** Of its outputs, such as `float32 [16,56,56,64]`. */
  readonly shapes: readonly string[];
  readonly milliseconds: number;
  readonly bytes: number;
}

/** One function as a whole. */
export interface PartRow {
  readonly part: string;
  readonly nodes: number;
  /** From the call to its end, of the middle run. */
  readonly wallMilliseconds: number;
  /** Sum over the nodes; with several threads more than the wall time. */
  readonly nodeMilliseconds: number;
  /** From the call to its end where nothing is taken down: the function as training calls it. */
  readonly callMilliseconds: number;
}

/** A profile. */
export interface StepProfile {
  readonly parts: PartRow[];
  readonly ops: OpRow[];
  /** The slowest nodes of all, slowest first. */
  readonly slowest: NodeRow[];
}

/** The measurements of one function. */
export interface PartRuns {
  readonly part: string;
  readonly runs: readonly GraphRun[];
  /** Of calls that were not profiled. */
  readonly callMilliseconds: readonly number[];
}

/** The function that isn't a part of a training step. */
const EVALUATION = "evaluate";

/** Nodes that only begin or end a graph. */
const FRAME = new Set(["_Arg", "_Retval", "NoOp", "_Send", "_Recv", "_HostSend", "_HostRecv"]);

/** Names of `TF_DataType` where they differ from tfjs's. */
const TYPE_NAMES: Record<number, string> = {
  1: "float32",
  3: "int32",
  4: "uint8",
  9: "int64",
  10: "bool",
  14: "bfloat16",
  19: "float16",
};

/** Sums up what was measured, by function, by type of op and by node. */
export function summarizeProfile(measured: readonly PartRuns[], slowest: number): StepProfile {
  const nodes = measured.flatMap(({ part, runs }) => nodesOf(part, runs));
  const parts = measured.map(({ part, runs, callMilliseconds }) => {
    const own = nodes.filter((node) => node.part === part);
    return {
      part,
      nodes: own.length,
      wallMilliseconds: median(runs.map(({ milliseconds }) => milliseconds)),
      nodeMilliseconds: sum(own.map(({ milliseconds }) => milliseconds)),
      callMilliseconds: median(callMilliseconds),
    };
  });
  const [evaluation, step] = [true, false].map((isEvaluation) =>
    nodes.filter(({ part }) => (part === EVALUATION) === isEvaluation)
  );
  return {
    parts,
    ops: [...opsOf(step), ...opsOf(evaluation)],
    slowest: [...nodes].sort((a, b) => b.milliseconds - a.milliseconds).slice(0, slowest),
  };
}

/** A part of a step that is no captured function, as one node: it can only be timed as a whole. */
export function wholePart(part: string, callMilliseconds: readonly number[]): PartRuns {
  const runs = callMilliseconds.map((milliseconds) => ({
    milliseconds,
    nodes: [{
      name: part,
      op: "(as a whole)",
      device: "",
      start: 0,
      duration: milliseconds * 1e6,
      outputs: [],
    }],
  }));
  return { part, runs, callMilliseconds };
}

/** Each node with the median of its times. */
function nodesOf(part: string, runs: readonly GraphRun[]): NodeRow[] {
  const times = new Map<string, { node: NodeRun; milliseconds: number[] }>();
  for (const run of runs) {
    for (const node of run.nodes) {
      if (FRAME.has(node.op)) continue;
      const entry = times.get(node.name) ?? { node, milliseconds: [] };
      times.set(node.name, entry);
      entry.milliseconds.push(node.duration / 1e6);
    }
  }
  return [...times.values()].map(({ node, milliseconds }) => ({
    part,
    node: node.name,
    op: node.op,
    shapes: node.outputs.map(({ dtype, shape }) => `${typeName(dtype)} [${shape}]`),
    milliseconds: median(milliseconds),
    bytes: sum(
      node.outputs.map(({ dtype, shape }) =>
        shape.reduce((product, side) => product * side, dtypeBytes(dtype))
      ),
    ),
  }));
}

/** The types of some nodes with their shares, the greatest first. */
function opsOf(nodes: readonly NodeRow[]): OpRow[] {
  const all = sum(nodes.map(({ milliseconds }) => milliseconds));
  const groups = Map.groupBy(nodes, ({ part, op }) => `${part} ${op}`);
  return [...groups.values()].map((group) => {
    const { part, op } = group[0];
    const milliseconds = sum(group.map((node) => node.milliseconds));
    const bytes = sum(group.map((node) => node.bytes));
    return { part, op, count: group.length, milliseconds, share: milliseconds / all, bytes };
  }).sort((a, b) => b.milliseconds - a.milliseconds);
}

function typeName(dtype: number): string {
  return TYPE_NAMES[dtype] ?? `type ${dtype}`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

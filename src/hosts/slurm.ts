/**
 * The place of this process among the tasks of a Slurm job step, from the variables that Slurm sets.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";

/** Environment variables by name. */
export type Environment = (name: string) => string | undefined;

/** The place of a task of Slurm. */
export interface SlurmTask {
  /** Name of this node. */
  readonly node: string;
  /** Number of this node among the nodes of the step, from 0. */
  readonly nodeIndex: number;
  /** Names of the step's nodes, in order. */
  readonly nodes: readonly string[];
  /** Number of this task among those of its node, from 0. */
  readonly localIndex: number;
}

/** The names of variables that a task needs. */
const NEEDED = ["SLURM_NODEID", "SLURM_LOCALID"] as const;
/** The most nodes that a list is expanded to. */
const MAX_NODES = 65_536;

/**
 * Returns the place of this process, if a Slurm task is what it is.
 *
 * @throws {UsageError} When some of the variables are missing, or say what Slurm doesn't
 */
export function readSlurmTask(env: Environment): SlurmTask | undefined {
  if (!env("SLURM_PROCID")) return undefined;
  const [nodeIndex, localIndex] = NEEDED.map((name) => {
    const value = env(name);
    if (value === undefined || !/^\d{1,6}$/.test(value)) {
      throw new UsageError(
        `SLURM_PROCID is set, and ${name} is ${
          value === undefined || value === "" ? "missing" : JSON.stringify(value)
        }: start the worker by srun, or unset SLURM_PROCID and give --join`,
      );
    }
    return Number(value);
  });
  const [variable, list] = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"]
    .map((name) => [name, env(name)] as const).find(([, value]) => value) ?? [];
  const nodes = list ? expandNodeList(list, variable) : [];
  const node = env("SLURMD_NODENAME") || nodes[nodeIndex!];
  if (nodes.length === 0 || node === undefined) {
    throw new UsageError(
      "SLURM_PROCID is set, and SLURM_STEP_NODELIST is missing, which names the nodes: start the worker by srun, or unset " +
        "SLURM_PROCID and give --join",
    );
  }
  return { node, nodeIndex: nodeIndex!, localIndex: localIndex!, nodes };
}

/**
 * Returns the names that a list of Slurm stands for: `gpu[01-03,07],login` is `gpu01`, `gpu02`, `gpu03`, `gpu07`
 * and `login`.
 *
 * @param where The variable, for messages
 * @throws {UsageError} When it is no such list
 */
export function expandNodeList(list: string, where = "SLURM_JOB_NODELIST"): string[] {
  const refuse = (): never => {
    throw new UsageError(`${where} is ${JSON.stringify(list)}, which is no list of nodes`);
  };
  const names = splitList(list, refuse).flatMap((part) => expandName(part, refuse));
  return names.length > MAX_NODES ? refuse() : names;
}

/** The parts between the commas that stand outside of brackets. */
function splitList(list: string, refuse: () => never): string[] {
  const parts = list.match(/(?:[^,[\]]|\[[\d,-]+\])+/g) ?? [];
  return list !== "" && parts.join(",") === list ? parts : refuse();
}

function expandName(part: string, refuse: () => never): string[] {
  const [, before, ranges, after] = /^([^[]*)\[([^\]]*)\](.*)$/.exec(part) ?? [];
  if (before === undefined || ranges === undefined || after === undefined) return [part];
  const ends = expandName(after, refuse);
  return ranges.split(",").flatMap((range) => {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range) ?? [];
    if (first === undefined || last === undefined) return refuse();
    const count = Number(last) - Number(first) + 1;
    if (count < 1 || count > MAX_NODES) return refuse();
    const numbers = Array.from(
      { length: count },
      (_, index) => String(Number(first) + index).padStart(first.length, "0"),
    );
    return numbers.flatMap((number) => ends.map((end) => before + number + end));
  });
}

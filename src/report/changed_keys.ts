/**
 * The keys of a config whose values differ from the defaults.
 *
 * @module
 */
import { configSchema } from "../config/schema.ts";
import { runName } from "../config/run_name.ts";
import { isTree, type Tree } from "./run_files.ts";

/** A key of a config. */
export interface ConfigEntry {
  /** Dotted, such as `train.lr`. */
  readonly key: string;
  readonly value: unknown;
  /** True if the default is another value; undefined for configs of other versions. */
  readonly changed?: boolean;
}

/**
 * All keys of a resolved config in its order. A key has its default's value when the config without it comes
 * to the same.
 */
export function configEntries(config: Tree): ConfigEntry[] {
  const entries = flatten(config);
  const resolved = configSchema.safeParse(config);
  if (!resolved.success) return entries.map(([key, value]) => ({ key, value }));
  return entries.map(([key, value]) => {
    const rest = structuredClone(config);
    removeKey(rest, key.split("."));
    const without = configSchema.safeParse({ ...rest, name: runName(rest) });
    return { key, value, changed: !without.success || !sameAt(without.data, config, key) };
  });
}

/** Leaves of a tree: lists are leaves too. */
function flatten(tree: Tree, prefix = ""): [string, unknown][] {
  return Object.entries(tree).flatMap(([name, value]): [string, unknown][] => {
    const key = prefix + name;
    if (isTree(value)) return flatten(value, `${key}.`);
    return [[key, value]];
  });
}

function removeKey(tree: Tree, [name, ...rest]: readonly string[]): void {
  if (rest.length === 0) delete tree[name];
  else if (isTree(tree[name])) removeKey(tree[name], rest);
}

function sameAt(a: Tree, b: Tree, key: string): boolean {
  const at = (tree: Tree) =>
    key.split(".").reduce<unknown>((node, name) => isTree(node) ? node[name] : undefined, tree);
  return JSON.stringify(at(a)) === JSON.stringify(at(b));
}

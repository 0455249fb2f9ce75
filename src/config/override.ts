/**
 * Overrides of the command line, `--set key=value`, and how they change a config.
 *
 * @module
 */
import { messageOf, UsageError } from "../base/errors.ts";
import { longForm } from "../base/named_specs.ts";
import {
  childNodes,
  isOptional,
  kindOfNamed,
  nodesAt,
  rootNodes,
  type SchemaNode,
  takesNames,
  takesNull,
  takesText,
} from "./schema_paths.ts";
import { isTree, setOwn, shown, type Tree } from "./tree.ts";
import { parseYaml, yamlValues } from "./yaml_tree.ts";

/** One override of the command line: a dotted key and its value. */
export interface Override {
  /** Dotted, such as `train.lr`; a number is a position in a list, such as `data.train.0`. */
  key: string;
  /** As YAML would give it. */
  value: unknown;
  /** As it was typed, for messages: `--epochs`; `--set` and the key unless given. */
  source?: string;
  /** Overrides of a higher level stand over those of a lower one, as these over the file; 0 unless given. */
  level?: number;
}

/** An override as messages call it. */
export function sourceOf({ key, source }: Override): string {
  return source ?? `--set ${key}`;
}

/**
 * Parses a `key=value` of the command line. A key that takes text gets it as it stands, without one pair of quotes
 * around it; every other value is read as YAML. `null` takes an optional key away.
 *
 * @example
 * ```ts
 * import { loadConfig, parseOverride } from "@lockstep/lockstep";
 *
 * const overrides = ["train.epochs=2", "seed=7"].map(parseOverride);
 * const config = await loadConfig("recipe.yaml", overrides);
 * console.log(config.train.epochs, config.seed); // 2 7
 * ```
 *
 * @throws {UsageError} when there is no `=`
 */
export function parseOverride(text: string): Override {
  return overrideOf("--set", text);
}

/**
 * Parses a `key=value` that stands behind a flag, as {@linkcode parseOverride} does.
 *
 * @param flag Such as `--override`, for messages
 * @throws {UsageError} when there is no `=`
 */
export function overrideOf(flag: string, text: string): Override {
  const at = equalsSign(text);
  if (at < 1) {
    throw new UsageError(`${flag} ${text} is not key=value, such as ${flag} train.lr=0.01`);
  }
  const key = text.slice(0, at).trim();
  const raw = text.slice(at + 1);
  const named = flag === "--set" ? { key } : { key, source: `${flag} ${key}` };
  const path = stepsOf(key);
  const schema = nodesAt(path);
  if (takesText(schema)) {
    const isNull = raw === "null" && (isOptional(path) || takesNull(schema));
    return { ...named, value: isNull ? null : unquoted(raw) };
  }
  if (raw === "") return { ...named, value: "" };
  const document = parseYaml(raw);
  const [problem] = document.errors;
  try {
    if (problem) throw problem;
    return { ...named, value: yamlValues(document, schema) };
  } catch (error) {
    throw new UsageError(
      `${flag} ${text}: the value is not valid YAML: ${messageOf(error).split("\n")[0]}`,
    );
  }
}

/**
 * Changes a tree as an override says.
 *
 * @throws {UsageError} when a list has no such position
 */
export function applyOverride(tree: Tree, override: Override): void {
  const { key, value } = override;
  const source = sourceOf(override);
  const path = stepsOf(key);
  const steps = path.slice(0, -1);
  const last = path.at(-1)!;
  let node: Tree | unknown[] = tree;
  steps.forEach((step, at) => {
    const schema = nodesAt(path.slice(0, at));
    requireName(node, schema, path, at, source);
    node = childOf(node, step, source, (value) => holderOf(value, schema, path, at, source));
  });
  requireName(node, nodesAt(steps), path, steps.length, source);
  if (Array.isArray(node)) {
    node[positionIn(node, last, source)] = value;
  } else if (
    value === null && isOptional([...steps, last]) && !takesNull(nodesAt([...steps, last]))
  ) {
    delete node[last];
  } else {
    setOwn(node, last, value);
  }
}

/** The path of a dotted key. What follows a key whose value is a mapping of names is one name, dots included. */
export function stepsOf(key: string): string[] {
  const parts = key.split(".");
  let schema = rootNodes();
  for (let at = 0; at < parts.length; at++) {
    if (takesNames(schema) && at > 0) return [...parts.slice(0, at), parts.slice(at).join(".")];
    schema = childNodes(schema, parts[at]);
  }
  return parts;
}

/** The `=` between key and value: the first one, but the last one behind a name, which may hold some itself. */
function equalsSign(text: string): number {
  const first = text.indexOf("=");
  const holder = text.slice(0, first).split(".");
  for (let length = 1; length < holder.length; length++) {
    if (takesNames(nodesAt(holder.slice(0, length)))) return text.lastIndexOf("=");
  }
  return first;
}

/** Text without one pair of quotes around it; nothing else is changed. */
function unquoted(text: string): string {
  const [, , inner] = /^(["'])(.*)\1$/s.exec(text) ?? [];
  return inner ?? text;
}

function childOf(
  node: Tree | unknown[],
  step: string,
  source: string,
  holderOf: (value: unknown) => Tree | unknown[],
): Tree | unknown[] {
  if (Array.isArray(node)) {
    const position = positionIn(node, step, source);
    return node[position] = holderOf(node[position]);
  }
  const holder = holderOf(Object.hasOwn(node, step) ? node[step] : undefined);
  return setOwn(node, step, holder) as Tree | unknown[];
}

/**
 * Returns the value in which an override's next step is set. The short form of a named thing becomes its long form.
 *
 * @param value What stands at step `at` of the path
 * @param schema Of what holds it
 * @throws {UsageError} where the value would be lost
 */
function holderOf(
  value: unknown,
  schema: readonly SchemaNode[],
  path: readonly string[],
  at: number,
  source: string,
): Tree | unknown[] {
  const next = path[at + 1];
  if (isTree(value) || (Array.isArray(value) && /^\d+$/.test(next))) return value;
  const kind = kindOfNamed(schema);
  const long = kind && longForm(kind, path[at], value);
  if (long) return long;
  if (typeof value === "string" && kindOfNamed(nodesAt(path.slice(0, at + 1)))) {
    return { [value]: {} };
  }
  if (Array.isArray(value)) return value;
  if (value === undefined || value === null || typeof value === "boolean") return {};
  const whole = path.slice(0, at + 1).join(".");
  throw new UsageError(
    `${source}: ${whole} is ${shown(value)}, which has no ${next}: ` +
      `set the whole of it with --set ${whole}=…`,
  );
}

/** Refuses a name of a named thing where another one stands, which would be lost. */
function requireName(
  node: Tree | unknown[],
  schema: readonly SchemaNode[],
  path: readonly string[],
  at: number,
  source: string,
): void {
  if (Array.isArray(node) || !kindOfNamed(schema)) return;
  const [present] = Object.keys(node);
  if (present === undefined || present === path[at]) return;
  const whole = path.slice(0, at).join(".");
  throw new UsageError(
    `${source}: ${whole} is ${present}, not ${path[at]}: ` +
      `to replace it, set the whole of it with --set '${whole}={${path[at]}: …}'`,
  );
}

function positionIn(list: readonly unknown[], step: string, source: string): number {
  const position = Number(step);
  if (/^\d+$/.test(step) && position < list.length) return position;
  throw new UsageError(
    `${source}: ${step} is no position in a list of ${list.length}: ` +
      (list.length > 0 ? `give 0 to ${list.length - 1}` : "set the whole list"),
  );
}

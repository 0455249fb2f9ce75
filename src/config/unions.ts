/**
 * Keys that a choice brings along, such as the ones of a schedule: when the command line makes another choice than the
 * file below it, the file's keys that the new choice doesn't have are left out, and that is said.
 *
 * @module
 */
import { argumentNames, longForm } from "../base/named_specs.ts";
import { architectureShape } from "../models/config.ts";
import { OPTIMIZER_NAMES, optimizerKeys, type OptimizerName, otherKeys } from "../optim/config.ts";
import { applyOverride, type Override, stepsOf } from "./override.ts";
import { alternativeOf, discriminatorOf, keysOf, kindOfNamed, nodesAt } from "./schema_paths.ts";
import { isTree, shownText, type Tree } from "./tree.ts";

/** Keys of the same section that don't go with a value; `value` is the new one of the key, never `null`. */
type Foreign = (value: unknown, section: Tree) => string[];

/** Keys that a value of these keys excludes in its section, beside the discriminated unions of the schema. */
const EXCLUDED: Readonly<Record<string, Foreign>> = {
  // Which way is better is the metric's: the highest loss is not the best.
  "checkpoint.monitor": () => ["mode"],
  "train.earlyStopping.metric": () => ["mode"],
  "train.optimizer": (name) =>
    OPTIMIZER_NAMES.some((known) => known === name) ? otherKeys(name as OptimizerName) : [],
  "train.batchSize": () => ["batchSizePerWorker"],
  "train.batchSizePerWorker": () => ["batchSize"],
  // One step, the default, goes with any size.
  "train.microBatchSize": (_, { accumulationSteps }) =>
    accumulationSteps === 1 ? [] : ["accumulationSteps"],
  "train.accumulationSteps": () => ["microBatchSize"],
  "train.loss": (name) => name === "nll" ? ["lossModule", "labelSmoothing"] : ["lossModule"],
  "train.lossModule": (_, { loss }) => loss === "crossEntropy" ? [] : ["loss"],
  "model.name": (name) => name === "custom" ? [] : ["module"],
  "model.module": (_, { weights }) => [
    "name",
    ...Object.keys(architectureShape),
    ...(typeof weights === "string" && weights.startsWith("pretrained") ? ["weights"] : []),
  ],
};

/**
 * Applies overrides that were given together. Where they choose another variant than the tree has, what belongs to the
 * old one alone is taken out of the tree first; what the overrides themselves say is never taken out.
 *
 * @param onNote Gets a sentence for each choice that left keys out
 * @param source What sentences call the tree
 * @throws {UsageError} when an override can't be applied
 */
export function applyOverrides(
  tree: Tree,
  overrides: readonly Override[],
  onNote: (note: string) => void = () => {},
  source = "the file",
): void {
  const noting = { onNote, source };
  const changes = overrides.map((override) => withArguments(tree, asChoice(override), noting));
  const wanted = structuredClone(tree);
  for (const change of changes) applyOverride(wanted, structuredClone(change));
  for (const { key } of changes) {
    const path = stepsOf(key);
    const [before, after] = [sectionOf(tree, path), sectionOf(wanted, path)];
    const last = path.at(-1)!;
    if (!before || !after || !Object.hasOwn(after, last)) continue;
    const value = after[last];
    if (value === undefined || value === null || value === before[last]) continue;
    const removed = foreignKeys(path, value, before).filter((name) =>
      Object.hasOwn(before, name) && before[name] !== undefined && before[name] !== null
    );
    const isTyped = (name: string) =>
      changes.some((each) => each.key === [...path.slice(0, -1), name].join("."));
    const said = removed.filter((name) => !isTyped(name))
      .map((name) => `${name} (${shownText(before[name])})`);
    for (const name of removed) delete before[name];
    if (said.length === 0) continue;
    onNote(
      `${key} is now ${shownText(value)}: left out of ${source}, since it doesn't go with that: ${
        said.map((each) => [...path.slice(0, -1), each].join(".")).join(", ")
      }`,
    );
  }
  for (const change of changes) applyOverride(tree, change);
}

/** Keys whose values follow from a choice: a run that may have another choice may have other values of these, too. */
export function keysChosenBy(key: string): string[] {
  const path = stepsOf(key);
  const section = path.slice(0, -1);
  if (discriminatorOf(nodesAt(section)) === path.at(-1)) return [section.join(".")];
  if (key === "train.optimizer") return optimizerKeys().map((name) => `train.${name}`);
  return Object.hasOwn(EXCLUDED, key)
    ? EXCLUDED[key]("", {}).map((name) => [...section, name].join("."))
    : [];
}

/** `train.schedule=StepLR` chooses by the name alone, as `train.schedule.name=StepLR` does. */
function asChoice(override: Override): Override {
  const { key, value } = override;
  if (typeof value !== "string") return override;
  const path = stepsOf(key);
  const discriminator = discriminatorOf(nodesAt(path));
  return discriminator === undefined ? override : { ...override, key: `${key}.${discriminator}` };
}

/**
 * A name alone, such as `data.train.0=RandomCrop`, with those arguments of the thing in its place that it takes too.
 */
function withArguments(
  tree: Tree,
  override: Override,
  { onNote, source }: { onNote: (note: string) => void; source: string },
): Override {
  const { key, value: name } = override;
  const path = stepsOf(key);
  const kind = kindOfNamed(nodesAt(path));
  if (kind === undefined || typeof name !== "string") return override;
  const holder = holderOf(tree, path);
  const last = path.at(-1)!;
  const present = holder && Object.hasOwn(holder, last) ? (holder as Tree)[last] : undefined;
  if (!isTree(present)) return override;
  const [[old, given]] = Object.entries(present);
  const [before, names] = [longForm(kind, old, given), argumentNames(kind, name)];
  if (!before || !names) return override; // what is wrong, the schema says
  const [kept, removed] = [true, false].map((isKept) =>
    Object.entries(before).filter(([argument]) => names.includes(argument) === isKept)
  );
  if (removed.length > 0) {
    const said = removed.map(([argument, each]) => `${argument} (${shownText(each)})`);
    onNote(
      `${key} is now ${name}: left out of ${source}, since it doesn't go with that: ` +
        said.map((each) => `${key}.${old}.${each}`).join(", "),
    );
  }
  return kept.length === 0
    ? override
    : { ...override, value: { [name]: Object.fromEntries(kept) } };
}

/** Keys beside the last one of `path` that don't go with its new value. */
function foreignKeys(path: readonly string[], value: unknown, section: Tree): string[] {
  const excluded = Object.hasOwn(EXCLUDED, path.join(".")) ? EXCLUDED[path.join(".")] : undefined;
  if (excluded) return excluded(value, section);
  const nodes = nodesAt(path.slice(0, -1));
  if (discriminatorOf(nodes) !== path.at(-1)) return [];
  const variant = alternativeOf(nodes, path.at(-1)!, value);
  if (!variant) return []; // no variant of that name: the schema says so
  const own = keysOf([variant]);
  return Object.keys(section).filter((name) => !own.includes(name));
}

/** The mapping that holds a path's last key. */
function sectionOf(tree: Tree, path: readonly string[]): Tree | undefined {
  const holder = holderOf(tree, path);
  return isTree(holder) ? holder : undefined;
}

/** The mapping or list that holds a path's last key. */
function holderOf(tree: Tree, path: readonly string[]): Tree | unknown[] | undefined {
  let node: unknown = tree;
  for (const step of path.slice(0, -1)) {
    if (!isTree(node) && !Array.isArray(node)) return undefined;
    node = Object.hasOwn(node, step) ? (node as Tree)[step] : undefined;
  }
  return isTree(node) || Array.isArray(node) ? node : undefined;
}

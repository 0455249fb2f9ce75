/**
 * From a YAML file and `--set` overrides to a validated config, with errors that name the line, the key,
 * the value and the nearest known key.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { type Document, LineCounter } from "../deps/yaml.ts";
import type { z } from "../deps/zod.ts";
import { isAddress } from "../base/file_path.ts";
import { messageOf, nearestName, reasonOf, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";
import { maskAddress } from "../base/secrets.ts";
import { checkConfig } from "./checks.ts";
import { modulesOf, requireModules, requireServer } from "./consent.ts";
import { DEFAULT_CONFIG_PATH, DEFAULT_CONFIG_TEXT } from "./default_config.ts";
import { replaceSource } from "./data_source.ts";
import { type Override, sourceOf, stepsOf } from "./override.ts";
import { placePaths, relativePaths } from "./path_keys.ts";
import { runName } from "./run_name.ts";
import { type Config, type ConfigInput, configSchema, type LoadedConfig } from "./schema.ts";
import {
  alternativeOf,
  choicesIn,
  discriminatorOf,
  keysOf,
  nodesAt,
  rootNodes,
  takesList,
  takesNames,
} from "./schema_paths.ts";
import { findUnusable, isTree, shown, shownText, type Tree } from "./tree.ts";
import { applyOverrides } from "./unions.ts";
import { type ImageSize, scaledTransforms, typedSizes } from "./image_size.ts";
import { parseYaml, yamlValues } from "./yaml_tree.ts";

/** Options for reading a config. */
export interface LoadOptions {
  /** Gets a sentence for each thing of the file that isn't as it stands there, such as what overrides leave out. */
  readonly onNote?: (note: string) => void;
  /** Another size for the images; their transforms are scaled. */
  readonly imageSize?: ImageSize;
}

/**
 * Reads, overrides and validates a config file. Relative paths in the file count from its folder, those of overrides
 * from the working directory; in the config they are absolute.
 *
 * @param path YAML file
 * @param overrides Applied in order, over the file's values
 * @throws {UsageError} when the file can't be read or parsed, or a key or value is wrong
 */
export async function loadConfig(
  path: string,
  overrides: Override[] = [],
  options: LoadOptions = {},
): Promise<LoadedConfig> {
  const isOfRun = await liesInRun(path);
  const config = parseConfig(await readConfig(path), path, overrides, {
    ...options,
    ...(isOfRun ? { placePaths: leavePaths } : {}),
  });
  if (isOfRun) {
    const consent = { keys: overrides.map(({ key }) => key) };
    await requireModules(modulesOf(config), consent, { where: path, how: "--set {key}=" });
    await requireServer(config, consent, path);
  }
  return config;
}

/** Most bytes of a config file. */
const MAX_CONFIG_BYTES = 2 ** 24;

/** Tells whether a file is the config of a run folder, which may be from somebody else. */
async function liesInRun(path: string): Promise<boolean> {
  if (basename(path) !== "config.yaml") return false;
  const others = ["checkpoints", "environment.json", "history.json"];
  const found = await Promise.all(others.map((name) => exists(join(dirname(path), name))));
  return found.includes(true);
}

/**
 * Reads the config that a run folder holds, with the meaning that it had when the run was made: before there
 * was `data.splitSeed`, the run's `seed` decided the split by `data.valFraction`; and paths of older runs that are not
 * absolute count from the working directory.
 *
 * @param path The run's `config.yaml`
 * @param overrides Applied in order, over the file's values
 * @throws {UsageError} when the file can't be read or parsed, or a key or value is wrong
 */
export async function loadRunConfig(
  path: string,
  overrides: Override[] = [],
  options: LoadOptions = {},
): Promise<LoadedConfig> {
  return parseConfig(await readConfig(path), path, overrides, {
    ...options,
    prepare: keepSplit,
    placePaths: leavePaths,
    keepLayout: true,
  });
}

function keepSplit({ seed, data }: Tree): void {
  if (!isTree(data) || !data.valFraction || data.splitSeed !== undefined) return;
  if (seed !== undefined) data.splitSeed = seed;
}

/**
 * Leaves the paths of a run's config as they stand. They are absolute, but for runs of versions that kept them as they
 * were typed: those count from the working directory, as they did then.
 */
function leavePaths(tree: Tree, path: string, onNote?: (note: string) => void): void {
  const relative = [...relativePaths(tree)].filter(({ key }) => key !== "out");
  if (relative.length === 0) return;
  const list = relative.map(({ key, text }) => `${key} (${text})`).join(", ");
  const count = relative.length === 1 ? "counts" : "count";
  onNote?.(
    `${path} is of a version that kept paths as they were typed: ${list} ${count} from the working directory`,
  );
}

/** Tells whether a run's config is of a version that kept paths as they were typed. */
export async function keepsTypedPaths(path: string): Promise<boolean> {
  const tree = yamlValues(parseYaml(await readConfig(path)), rootNodes());
  return isTree(tree) && !relativePaths(tree).next().done;
}

async function readConfig(path: string): Promise<string> {
  if (path === DEFAULT_CONFIG_PATH) return DEFAULT_CONFIG_TEXT;
  try {
    return await readRegularText(path, MAX_CONFIG_BYTES);
  } catch (error) {
    throw new UsageError(
      `Config file ${path} can't be read: ${reasonOf(error)}; name an existing file with --config`,
    );
  }
}

/** Options for reading a config's text. */
interface ParseOptions extends LoadOptions {
  /** Changes the tree before anything else does. */
  readonly prepare?: (tree: Tree) => void;
  /** Makes the tree's paths absolute; they count from the folder of `source` unless given. */
  readonly placePaths?: (tree: Tree, source: string, onNote?: (note: string) => void) => void;
  /** Another source of the images has them in the same form, see {@linkcode replaceSource}. */
  readonly keepLayout?: boolean | undefined;
}

/**
 * Validates a config given as YAML text.
 *
 * @param text YAML
 * @param source The text's file, also for messages
 * @param overrides Applied in order
 * @throws {UsageError} when the text can't be parsed, or a key or value is wrong
 */
export function parseConfig(
  text: string,
  source: string,
  overrides: Override[] = [],
  options: ParseOptions = {},
): LoadedConfig {
  const lines = new LineCounter();
  const document = parseYaml(text, lines);
  const [problem] = document.errors;
  if (problem) {
    const where = lines.linePos(problem.pos[0]);
    throw new UsageError(
      `${source}, line ${where.line}: not valid YAML: ${problem.message.split("\n")[0]}`,
    );
  }
  let tree: unknown;
  try {
    tree = yamlValues(document, rootNodes());
  } catch (error) {
    throw new UsageError(`${source}: not usable as a config: ${messageOf(error)}`);
  }
  if (!isTree(tree)) {
    throw new UsageError(`${source}: a config is a mapping of keys to values, such as "seed: 1"`);
  }
  const { onNote, imageSize, prepare, placePaths: place = placeInFolder, keepLayout } = options;
  prepare?.(tree);
  place(tree, source, onNote);
  const before = structuredClone(tree);
  for (const level of new Set(overrides.map(({ level = 0 }) => level))) {
    const together = overrides.filter((each) => (each.level ?? 0) === level);
    const replaced = replaceSource(tree, together, { file: source, keepLayout });
    if (replaced) onNote?.(replaced);
    applyOverrides(tree, together, onNote, source);
  }
  const describe: Describe = (path, isMissing = false) => {
    const override = overrides.findLast(({ key }) => concerns(stepsOf(key), path)) ??
      overrides.findLast(({ key }) => isMissing && chooses(stepsOf(key), path.slice(0, -1))) ??
      overrides.findLast(({ key }) =>
        makes(stepsOf(key), isMissing ? path.slice(0, -1) : path, before)
      );
    if (override) return sourceOf(override);
    const node = nodeAt(document, isMissing ? path.slice(0, -1) : path);
    return node?.range ? `${source}, line ${lines.linePos(node.range[0]).line}` : source;
  };
  const config = validateConfig(tree as ConfigInput, describe);
  if (!imageSize) return config;
  const lists = scaledTransforms(config, imageSize, typedSizes(before, config, overrides));
  return validateConfig(
    { ...tree, data: { ...tree.data as Tree, ...lists } } as ConfigInput,
    (path, isMissing) =>
      path[0] === "data" && Object.hasOwn(lists, path[1] ?? "")
        ? imageSize.source
        : describe(path, isMissing),
  );
}

/** Lets relative paths count from the folder of the file that they stand in. */
function placeInFolder(tree: Tree, source: string): void {
  if (!isAddress(source)) placePaths(tree, resolve(dirname(source)));
}

/** Tells whether an override is to blame for a key: it set the key, what holds it, or a name or position in it. */
function concerns(steps: readonly string[], path: readonly (string | number)[]): boolean {
  const length = Math.min(steps.length, path.length);
  if (steps.slice(0, length).some((step, at) => step !== String(path[at]))) return false;
  if (steps.length <= path.length) return true;
  const nodes = nodesAt(path);
  return length > 0 && (takesNames(nodes) || takesList(nodes));
}

/** Tells whether an override set something in what the file doesn't have: then it made the mapping there. */
function makes(steps: readonly string[], path: readonly (string | number)[], file: Tree): boolean {
  if (path.length === 0 || steps.length <= path.length) return false;
  return path.every((step, at) => steps[at] === String(step)) && valueAt(file, path) === undefined;
}

/** Tells whether an override chose what a mapping has: then it is to blame for a key that is missing there. */
function chooses(steps: readonly string[], path: readonly (string | number)[]): boolean {
  return steps.length === path.length + 1 && path.every((step, at) => steps[at] === String(step)) &&
    discriminatorOf(nodesAt(path)) === steps.at(-1);
}

/** Says where a key stands, or what holds it where it is missing, for messages. */
type Describe = (path: (string | number)[], isMissing?: boolean) => string;

/** The node of a key in the file, where it has one. */
function nodeAt(document: Document.Parsed, path: (string | number)[]) {
  return document.getIn(path, true) as { range?: [number, number, number] } | undefined;
}

/**
 * Validates a config that is already a tree of values.
 *
 * @param input The config
 * @param describe Where a key stands, for messages
 * @throws {UsageError} listing every wrong key and value, one line each
 */
export function validateConfig<Input extends ConfigInput>(
  input: Input,
  describe: Describe = () => "Config",
): Input extends { workers: number } ? Config : LoadedConfig {
  const named = isTree(input) ? { ...input, name: runName(input) } : input;
  const config = validateKeys(configSchema, named as ConfigInput, describe);
  checkConfig(config);
  return config as Config; // with the workers that the input has
}

/**
 * Validates keys of a config, without the checks across keys.
 *
 * @param describe Where a key stands, for messages
 * @throws {UsageError} listing every wrong key and value, one line each
 */
export function validateKeys<S extends z.ZodType>(
  schema: S,
  input: z.input<S>,
  describe: Describe = () => "Config",
): z.output<S> {
  const odd = findUnusable(input);
  if (odd) throw new UsageError(`${describe(odd.path)}: ${odd.path.join(".")}: ${odd.reason}`);
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => explain(issue, input, describe));
  throw new UsageError([...new Set(problems)].join("\n"));
}

function explain(
  issue: z.core.$ZodIssue,
  input: unknown,
  describe: Describe,
): string[] {
  const path = issue.path.map((step) => typeof step === "symbol" ? String(step) : step);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) =>
      `${describe([...path, key])}: unknown key ${[...path, key].join(".")}: ${
        cureOfKey(key, path, input)
      }`
    );
  }
  const name = path.join(".") || "the config";
  const value = valueAt(input, path);
  const within = issue.code === "invalid_union" && isTree(value) ? issuesWithin(issue) : [];
  if (within.length > 0) return within.flatMap((each) => explain(each, input, describe));
  const choices = issue.code === "invalid_union" ? choicesOf(path) : [];
  if (value === undefined) {
    const cure = choices.length > 0 ? `give ${choices.join(", ")}` : issue.message;
    return [`${describe(path, true)}: ${name} is missing: ${cure}`];
  }
  const values = issue.code === "invalid_value" ? issue.values.map(String) : choices;
  const nearest = typeof value === "string" ? nearestName(value, values) : undefined;
  const hint = nearest ? `: did you mean ${nearest}?` : "";
  const known = name === "nats.url" ? maskAddress(shownText(value)) : value;
  const message = choices.length > 0 ? `give ${choices.join(", ")}` : issue.message;
  return [`${describe(path)}: ${name} is ${shown(known)}: ${message}${hint}`];
}

/** The issues of the one alternative that a mapping is meant for; none where no alternative is a mapping. */
function issuesWithin(issue: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] {
  const within = issue.errors.filter((each) =>
    each.length > 0 &&
    each.every(({ path, code }) => path.length > 0 || code === "unrecognized_keys")
  );
  return within.length === 1
    ? within[0].map((each) => ({ ...each, path: [...issue.path, ...each.path] }))
    : [];
}

/** The values of a key that chooses between mappings; none for all other keys. */
function choicesOf(path: readonly (string | number)[]): string[] {
  const nodes = nodesAt(path.slice(0, -1));
  return discriminatorOf(nodes) === path.at(-1) ? choicesIn(nodes) : [];
}

/** The cure for a key that a mapping doesn't have. */
function cureOfKey(key: string, path: (string | number)[], input: unknown): string {
  const nodes = nodesAt(path);
  const choice = discriminatorOf(nodes);
  const chosen = choice === undefined ? undefined : valueAt(input, [...path, choice]);
  const variant = choice === undefined ? undefined : alternativeOf(nodes, choice, chosen);
  const known = keysOf(variant ? [variant] : nodes);
  const nearest = nearestName(key, known);
  const isOfOther = variant && keysOf(nodes).includes(key);
  if (nearest && !isOfOther) return `did you mean ${[...path, nearest].join(".")}?`;
  if (!variant) return `known keys are ${known.join(", ")}`;
  return `${[...path, choice].join(".")} is ${shownText(chosen)}, which has ${
    known.filter((name) => name !== choice).join(", ")
  }`;
}

function valueAt(input: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (node, step) =>
      (isTree(node) || Array.isArray(node)) && Object.hasOwn(node, step)
        ? (node as Tree)[step]
        : undefined,
    input,
  );
}

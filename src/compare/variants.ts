/**
 * The variants of a comparison: what each of them changes in a recipe.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { parse } from "node:path";
import { messageOf, nearestName, UsageError } from "../base/errors.ts";
import type { ImageSize } from "../config/image_size.ts";
import { loadConfig, validateConfig } from "../config/load.ts";
import { type Override, parseOverride } from "../config/override.ts";
import type { ConfigInput, LoadedConfig } from "../config/schema.ts";

/** One side of a comparison. */
export interface Variant {
  /** Names its folders and, before a colon, its own settings. */
  readonly id: string;
  /** For people. */
  readonly label: string;
  readonly config: LoadedConfig;
}

/** The changes that a variant known by name makes to a recipe. */
interface Preset {
  readonly label: string;
  /** A description in some words. */
  readonly summary: string;
  readonly overrides: (base: LoadedConfig) => Override[];
}

/** Learning from weights that others have trained: the recipe's own, unless it has none. */
const pretrainedWeights = ({ model: { weights } }: LoadedConfig): Override[] =>
  weights === "none" ? [{ key: "model.weights", value: "pretrained" }] : [];

/** All parameters learn. */
const WHOLE_NETWORK: readonly Override[] = [
  { key: "model.featureExtract", value: false },
  { key: "model.train", value: undefined },
  { key: "train.featureCache", value: false },
];

/** Variants known by name. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  pretrained: {
    label: "Pretrained",
    summary: "the recipe as it is, with pretrained weights",
    overrides: pretrainedWeights,
  },
  finetune: {
    label: "Fine-tuned",
    summary: "pretrained, and all parameters learn",
    overrides: (base) => [...pretrainedWeights(base), ...WHOLE_NETWORK],
  },
  extract: {
    label: "Feature extraction",
    summary: "pretrained, and only the last layer learns",
    overrides: (base) => [
      ...pretrainedWeights(base),
      { key: "model.featureExtract", value: true },
      { key: "model.train", value: undefined },
    ],
  },
  scratch: {
    label: "Scratch",
    summary: "random weights, and all parameters learn",
    overrides: () => [
      { key: "model.weights", value: "none" },
      { key: "model.replaceHead", value: undefined },
      { key: "model.freezeBatchNorm", value: undefined },
      ...WHOLE_NETWORK,
    ],
  },
};

/** The variants that are compared by default. */
const DEFAULT_PRESETS = ["pretrained", "scratch"];

/** The parts that {@linkcode planVariants} combines. */
export interface VariantOptions {
  /** Paths of recipes. */
  readonly configs: readonly string[];
  /** Names of {@linkcode PRESETS}; the default two where neither recipes nor workers are compared. */
  readonly presets?: readonly string[];
  /** Numbers of workers to compare. */
  readonly workers?: readonly number[];
  /** `key=value` for all, or `variant:key=value` for one. */
  readonly sets?: readonly string[];
  /** Applied last, to all. */
  readonly overrides?: readonly Override[];
  /** Another size for the images of all. */
  readonly imageSize?: ImageSize;
  /** Gets a sentence about what overrides leave out of a recipe. */
  readonly onNote?: (note: string) => void;
}

/** One combination of what is compared; what isn't compared is missing. */
interface Combination {
  readonly path: string;
  readonly recipe?: string;
  readonly preset?: string;
  readonly workers?: number;
}

/** An override of the command line, and the variant that it is for; of all when it has none. */
interface SetFlag {
  readonly variant?: string;
  readonly override: Override;
}

/**
 * Makes every combination of the recipes, presets and numbers of workers that are asked for.
 *
 * @throws {UsageError} for an unknown name, a wrong config, or when there is nothing to compare
 */
export async function planVariants(options: VariantOptions): Promise<Variant[]> {
  const combinations = combine(options);
  const sets = (options.sets ?? []).map(parseSet);
  const known = new Set(combinations.flatMap(prefixesOf));
  for (const { variant } of sets) {
    if (variant === undefined || known.has(variant)) continue;
    const nearest = nearestName(variant, known);
    throw new UsageError(
      `--set ${variant}:… names no variant of this comparison: ` +
        (nearest ? `did you mean ${nearest}?` : `they are ${[...known].join(", ")}`),
    );
  }
  const notes = new Set<string>();
  const variants = await Promise.all(
    combinations.map((combination) => variantOf(combination, sets, options, notes)),
  );
  notes.forEach((note) => options.onNote?.(note));
  if (variants.length > 1) return variants;
  throw new UsageError(
    `There is only one variant, ${
      variants[0].label
    }: name several with --variants, --config or --workers`,
  );
}

/** The dotted keys in which configs differ, apart from names and places, with each one's values. */
export function differencesOf(configs: readonly LoadedConfig[]): Record<string, unknown>[] {
  const flat = configs.map((config) => flatten(config));
  const keys = [...new Set(flat.flatMap((one) => Object.keys(one)))].filter((key) =>
    !["name", "out", "seed"].includes(key) &&
    new Set(flat.map((one) => JSON.stringify(one[key]))).size > 1
  );
  return flat.map((one) => Object.fromEntries(keys.map((key) => [key, one[key] ?? null])));
}

/** A name of letters, digits, `.`, `-` and `_`, for folders. */
export function slug(text: string): string {
  return text.toLowerCase().replace(/[^\w.]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 60) ||
    "variant";
}

/** Names that are made different from each other by numbers. */
export function distinct(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let own = name;
    for (let number = 2; taken.has(own); number++) own = `${name}-${number}`;
    taken.add(own);
    return own;
  });
}

/**
 * Makes variants of configs by what they are called.
 *
 * @throws {UsageError} for what is wrong in a config
 */
export function variantsOf(configs: Readonly<Record<string, ConfigInput>>): Variant[] {
  const labels = Object.keys(configs);
  const ids = distinct(labels.map(slug));
  return labels.map((label, index) => {
    try {
      return { id: ids[index], label, config: validateConfig(configs[label]) };
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`${label}: ${messageOf(error)}`) : error;
    }
  });
}

function combine({ configs, presets = [], workers = [] }: VariantOptions): Combination[] {
  const several = configs.length > 1 || workers.length > 1;
  const names = presets.length > 0 ? presets.map(presetNamed) : several ? [] : DEFAULT_PRESETS;
  const recipes = distinct(configs.map((path) => parse(path).name));
  const orNothing = <T>(values: readonly T[]) => values.length > 0 ? values : [undefined];
  const combinations = configs.flatMap((path, index) =>
    orNothing(names).flatMap((preset) =>
      orNothing(workers).map((count) => ({
        path,
        ...(configs.length > 1 ? { recipe: recipes[index] } : {}),
        ...(preset === undefined ? {} : { preset }),
        ...(count === undefined ? {} : { workers: count }),
      }))
    )
  );
  const ids = combinations.map((combination) => partsOf(combination).join("-"));
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined) {
    throw new UsageError(`The variant ${twice} is asked for twice: once is enough`);
  }
  return combinations;
}

/** @throws {UsageError} naming the nearest one */
function presetNamed(name: string): string {
  if (Object.hasOwn(PRESETS, name)) return name;
  const known = Object.keys(PRESETS);
  const nearest = nearestName(name, known);
  throw new UsageError(
    `Unknown variant "${name}": ${
      nearest ? `did you mean ${nearest}?` : `known are ${known.join(", ")}`
    }`,
  );
}

/** Returns the parts of a combination, each as an id. */
function partsOf({ recipe, preset, workers }: Combination): string[] {
  return [
    ...(recipe === undefined ? [] : [slug(recipe)]),
    ...(preset === undefined ? [] : [preset]),
    ...(workers === undefined ? [] : [`workers-${workers}`]),
  ];
}

/** Returns the prefixes that may stand before the colon of a `--set` for a combination. */
function prefixesOf(combination: Combination): string[] {
  const parts = partsOf(combination);
  return [parts.join("-"), ...parts];
}

async function variantOf(
  combination: Combination,
  sets: readonly SetFlag[],
  { overrides = [], imageSize }: VariantOptions,
  notes: Set<string>,
): Promise<Variant> {
  const { path, recipe, preset, workers } = combination;
  const parts = [
    recipe,
    preset && PRESETS[preset].label,
    workers && counted(workers, "worker"),
  ];
  const label = parts.filter(Boolean).join(", ");
  const prefixes = prefixesOf(combination);
  const forAll = sets.filter(({ variant }) => variant === undefined);
  const own = sets.filter(({ variant }) => variant !== undefined && prefixes.includes(variant));
  const common = [
    ...forAll.map(({ override }) => override),
    ...overrides,
    ...(workers === undefined ? [] : [{ key: "workers", value: workers }]),
  ];
  try {
    const changes = preset ? PRESETS[preset].overrides(await loadConfig(path, common)) : [];
    const config = await loadConfig(path, [
      ...common,
      ...changes,
      ...own.map(({ override }) => ({ ...override, level: 1 })),
    ], { onNote: (note) => notes.add(note), ...(imageSize ? { imageSize } : {}) });
    return { id: partsOf(combination).join("-"), label, config };
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`${label}: ${messageOf(error)}`) : error;
  }
}

/** `key=value` or `variant:key=value`. */
function parseSet(text: string): SetFlag {
  const [, variant, rest] = /^([\w.-]+):([^=]*=.*)$/s.exec(text) ?? [];
  if (variant === undefined) return { override: parseOverride(text) };
  return { variant, override: parseOverride(rest) };
}

/** A tree's leaves by dotted keys; lists count as leaves. */
function flatten(tree: object, prefix = ""): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(tree).flatMap(([key, value]) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(flatten(value, `${prefix}${key}.`))
        : [[prefix + key, value]]
    ),
  );
}

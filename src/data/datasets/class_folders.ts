/**
 * Images for a model whose classes are known: what a folder holds is matched to them by name.
 *
 * @module
 */
import { listedInQuotes } from "../../base/listing.ts";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { quotedPath } from "../../base/called_paths.ts";
import { nearestName, UsageError } from "../../base/errors.ts";
import { classMatcher, labelsByName } from "../class_names.ts";
import { listImages, subfolders } from "./image_files.ts";
import type { ImageSet, Sample } from "./image_set.ts";
import { ImageSource } from "./image_source.ts";

/**
 * Lists a folder of classes; classes without a folder or images have no samples.
 *
 * @param root The folder that paths are relative to
 * @param folder Relative to the root, with a folder for each class; the root itself when empty
 * @param classes Names of the classes in the order of the model's outputs
 * @param maxPixels Larger images can't be used
 * @returns The images as those that validate; there are none to train on
 * @throws {UsageError} when the folder can't be read, has a folder that is no class, or has no images
 */
export async function scanClassFolders(
  root: string,
  folder: string,
  classes: readonly string[],
  maxPixels?: number,
): Promise<ImageSet> {
  const where = quotedPath(join(root, folder));
  const folders = await subfolders(root, folder);
  const names = folders.map(classMatcher(classes));
  refuseUnknown(names, classes, `Folder ${where}`);
  const places = labelsByName(names);
  const hash = createHash("sha256");
  const val: Sample[] = [];
  for (const [label, name] of classes.entries()) {
    const own = folders[places.get(name) ?? -1];
    if (own === undefined) continue;
    for (const { path, bytes } of await listImages(root, folder ? `${folder}/${own}` : own)) {
      hash.update(`val\0${label}\0${path}\0${bytes}\n`);
      val.push({ path, label, index: val.length });
    }
  }
  if (val.length === 0) {
    throw new UsageError(
      `Folder ${where} has no images of ${
        listedInQuotes(classes)
      }: name a folder with a folder of images for each class`,
    );
  }
  return {
    root,
    classes: [...classes],
    train: [],
    val,
    fingerprint: hash.digest("hex"),
    source: new ImageSource(root, maxPixels),
  };
}

/**
 * One side of a run's images, for a model whose classes may stand in another order.
 *
 * @returns Those images as the ones that validate; there are none to train on
 * @throws {UsageError} when the images have a class that the model doesn't know
 */
export function chooseSplit(
  set: ImageSet,
  { split, classes }: { split: "train" | "val"; classes: readonly string[] },
): ImageSet {
  refuseUnknown(set.classes, classes, quotedPath(set.root));
  const known = labelsByName(classes);
  const labels = set.classes.map((name) => known.get(name)!);
  const val = set[split].map((sample, index) => ({
    path: sample.path,
    index,
    get label() { // of a data module's sample maybe known only later
      return labels[sample.label] ?? sample.label;
    },
  }));
  const { learnLabel } = set;
  const places = labelsByName(set.classes);
  const learn: ImageSet["learnLabel"] = learnLabel &&
    ((_, index, label) => learnLabel(split, index, places.get(classes[label] ?? "") ?? -1));
  return {
    ...set,
    classes: [...classes],
    train: [],
    val,
    ...(learn ? { learnLabel: learn } : {}),
  };
}

/** Names of the classes that have no image among those that validate. */
export function missingClasses({ classes, val }: Pick<ImageSet, "classes" | "val">): string[] {
  const present = new Set(val.map(({ label }) => label));
  return classes.filter((_, label) => !present.has(label));
}

function refuseUnknown(names: readonly string[], classes: readonly string[], where: string): void {
  const known = new Set(classes);
  const unknown = names.filter((name) => !known.has(name));
  const [first] = unknown;
  if (first === undefined) return;
  const nearest = nearestName(first, classes);
  throw new UsageError(
    `${where} has classes that the model doesn't know, ${listedInQuotes(unknown)}: ` +
      (nearest ? `did you mean ${JSON.stringify(nearest)}? It` : "it") +
      ` knows ${listedInQuotes(classes)}; rename or move what is something else`,
  );
}

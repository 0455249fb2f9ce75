/**
 * Images for a model whose classes are known: what a folder holds is matched to them by name.
 *
 * @module
 */
import { LazyList } from "../../base/lazy_list.ts";
import { listedInQuotes } from "../../base/listing.ts";
import { join } from "node:path";
import { quotedPath } from "../../base/called_paths.ts";
import { nearestName, UsageError } from "../../base/errors.ts";
import { classMatcher, labelsByName } from "../class_names.ts";
import { addImages, subfolders } from "./image_files.ts";
import type { ImageSet, SampleList } from "./image_set.ts";
import { SampleTableBuilder } from "./sample_table.ts";
import { tableImages } from "./table_images.ts";

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
  const builder = new SampleTableBuilder();
  for (const [label, name] of classes.entries()) {
    const own = folders[places.get(name) ?? -1];
    if (own !== undefined) await addImages(builder, root, folder ? `${folder}/${own}` : own, label);
  }
  if (builder.length === 0) {
    throw new UsageError(
      `Folder ${where} has no images of ${
        listedInQuotes(classes)
      }: name a folder with a folder of images for each class`,
    );
  }
  return tableImages(builder.finish({ classes, train: 0 }), { root, maxPixels });
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
  const val = relabelled(set[split], labels);
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

/** The same samples with the labels of a model; those that aren't known yet stay so. */
function relabelled(samples: SampleList, labels: readonly number[]): SampleList {
  return new LazyList(samples.length, (index) => {
    const sample = samples.at(index)!;
    return {
      path: sample.path,
      index,
      get label() { // of a data module's sample maybe known only later
        return labels[sample.label] ?? sample.label;
      },
    };
  });
}

/** Names of the classes that have no image among those that validate. */
export function missingClasses({ classes, val }: Pick<ImageSet, "classes" | "val">): string[] {
  const present = new Set<number>();
  for (const { label } of val) present.add(label);
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

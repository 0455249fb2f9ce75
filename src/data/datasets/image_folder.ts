/**
 * Finds images in a folder whose subfolders are the classes, as torchvision's ImageFolder does:
 * `train/<class>/…` and `val/<class>/…` (or folders of other names), or `<class>/…` with a part of the images set aside.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import { classMatcher, labelsByName } from "../class_names.ts";
import { listedInQuotes } from "../../base/listing.ts";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { calledPath, quotedPath } from "../../base/called_paths.ts";
import { UsageError } from "../../base/errors.ts";
import { shellWord } from "../../base/shell.ts";
import { addImages, LeftOut, subfolders } from "./image_files.ts";
import type { ImageSet } from "./image_set.ts";
import { type SampleTable, SampleTableBuilder } from "./sample_table.ts";
import { tableImages } from "./table_images.ts";

/** The options of {@linkcode scanImageFolder}. */
export interface ScanOptions {
  /** Name of the folder of training images (default `train`). */
  trainFolder?: string;
  /** Name of the folder of validation images (default `val`). */
  valFolder?: string;
  /** Share of a single folder's images that validate. */
  valFraction?: number | null | undefined;
  /** Another number gives another split (default 0). */
  splitSeed?: number;
  /** Larger images can't be used (default 100 million pixels). */
  maxPixels?: number;
}

/** The two folders of a pair. */
interface Sides {
  train: string;
  val: string;
}

/** The result of a scan. */
interface Found {
  readonly table: SampleTable;
  readonly warning?: string;
}

/**
 * Lists the images of an image folder. Names that begin with a dot are left out; symbolic links are
 * followed.
 *
 * A single folder is split by a hash of each relative path: no image changes sides when others come or
 * go, but each class with two images or more keeps at least one on either side. The image of a class
 * with one trains; a warning names such classes.
 *
 * @param root A folder with `train/` and `val/`, or one of classes
 * @throws {UsageError} when the folder can't be read, or can't be trained on
 */
export async function scanImageFolder(
  root: string,
  options: ScanOptions = {},
): Promise<ImageSet> {
  const { trainFolder = "train", valFolder = "val", valFraction, splitSeed = 0, maxPixels } =
    options;
  const leftOut = new LeftOut();
  const names = await subfolders(root, "", leftOut);
  const sides: Sides = { train: actualName(trainFolder, names), val: actualName(valFolder, names) };
  const found = Object.values(sides).filter((side) => names.includes(side));
  const split = valFraction !== undefined && valFraction !== null;
  if (found.length === 2 && split) {
    throw new UsageError(
      `${
        quotedPath(root)
      } holds ${sides.train}/ and ${sides.val}/ already: remove data.valFraction (${valFraction}), ` +
        "or name a single folder of classes as data.root",
    );
  }
  if (names.length === 0) throw new UsageError(withoutFolders(root, leftOut.strays));
  if (found.length !== 2 && !split) {
    throw new UsageError(await oneFolder(root, sides, names) ?? missingSides(root, sides, names));
  }
  const { table, warning } = split
    ? await scanSingle(root, { classes: names, valFraction, splitSeed, leftOut })
    : await scanPair(root, sides, leftOut);
  const warnings = [warning, leftOut.describe(root)].filter((each) => each !== undefined);
  const images = tableImages(table, { root, maxPixels });
  return { ...images, ...warnings.length > 0 ? { warnings } : {} };
}

/** A folder as it is called, in upper or lower case, if there is but one such. */
export function actualName(wanted: string, names: readonly string[]): string {
  if (names.includes(wanted)) return wanted;
  const similar = names.filter((name) => name.toLowerCase() === wanted.toLowerCase());
  const [first = wanted] = similar;
  return similar.length === 1 ? first : wanted;
}

/** Names that people give to the folder that validates. */
const VALIDATION_NAMES = ["val", "valid", "validation", "dev"];

/** Says that there are no folders, which are the classes. */
function withoutFolders(root: string, images: number): string {
  const only = images === 0 ? "" : `, only ${counted(images, "image")}`;
  return `Folder ${
    quotedPath(root)
  } has no class folders${only}: it takes a folder of images for each class, ` +
    "either under train/ and val/, or, with data.valFraction, all together";
}

/** Says what to name instead of a folder that holds one other alone; nothing where it holds more. */
async function oneFolder(
  root: string,
  sides: Sides,
  [name, ...others]: string[],
): Promise<string | undefined> {
  if (name === undefined || others.length > 0) return undefined;
  if ([sides.train, sides.val].includes(name)) return undefined;
  const names = await subfolders(root, name);
  const both = [sides.train, sides.val].every((side) => names.includes(actualName(side, names)));
  const cure = both
    ? `name that with ${rootAt(root, name)}`
    : names.length > 1
    ? `split it with ${splitOf(root, name)}`
    : "make a folder of images for each of at least two classes";
  return `Folder ${quotedPath(root)} has one folder only (${quotedPath(name)}): ${cure}`;
}

/** The setting that names a folder in the root. */
function rootAt(root: string, name: string): string {
  return `--set ${shellWord(`data.root=${calledPath(join(root, name))}`)}`;
}

/** The settings that split a folder of classes in the root. */
function splitOf(root: string, name: string): string {
  return `${rootAt(root, name)} --set data.valFraction=0.2`;
}

/** Says which folders are not there, and how to name those that are. */
function missingSides(root: string, sides: Sides, names: string[]): string {
  const { train, val } = sides;
  const [hasTrain, hasVal] = [train, val].map((side) => names.includes(side));
  const missing = hasTrain || hasVal
    ? `has ${hasTrain ? train : val}/ but no ${hasTrain ? val : train}/`
    : `has no ${train}/ and ${val}/`;
  const other = names.find((name) =>
    name !== train && name !== val && VALIDATION_NAMES.includes(name.toLowerCase())
  );
  const cure = hasTrain && other
    ? `set the folder that validates with --set data.valFolder=${other}`
    : hasTrain && names.some((name) => name.toLowerCase() === "test")
    ? `split ${train}/ with ${splitOf(root, train)}, and keep test/ ` +
      "for deno task evaluate: a test set that chooses weights tests nothing (--set data.valFolder=test does so)"
    : "make both with a folder per class in each (data.trainFolder and data.valFolder name them), " +
      "or set data.valFraction, such as to 0.2, to split one folder of classes";
  return `Folder ${quotedPath(root)} ${missing}: ${cure}`;
}

async function scanPair(root: string, sides: Sides, leftOut: LeftOut): Promise<Found> {
  const [trainRoot, valRoot] = [join(root, sides.train), join(root, sides.val)];
  const classes = await subfolders(root, sides.train, leftOut);
  const valFolders = await subfolders(root, sides.val, leftOut);
  const valClasses = valFolders.map(classMatcher(classes));
  const [inTrain, inVal] = [labelsByName(classes), labelsByName(valClasses)];
  const onlyTrain = classes.filter((name) => !inVal.has(name));
  const onlyVal = valClasses.filter((name) => !inTrain.has(name));
  if (onlyTrain.length > 0 || onlyVal.length > 0) {
    throw new UsageError(
      `The classes of ${quotedPath(trainRoot)} and ${quotedPath(valRoot)} differ: ` +
        `only ${sides.train}/ has ${list(onlyTrain)}; only ${sides.val}/ has ${list(onlyVal)}; ` +
        "give both the same folders",
    );
  }
  requireClasses(trainRoot, classes);
  const valOfClasses = classes.flatMap((name) => valFolders[inVal.get(name) ?? -1] ?? []);
  const builder = new SampleTableBuilder();
  await addClasses(builder, root, { side: sides.train, folders: classes, leftOut });
  const train = builder.length;
  await addClasses(builder, root, { side: sides.val, folders: valOfClasses, leftOut });
  return { table: builder.finish({ classes, train }) };
}

async function scanSingle(
  root: string,
  { classes, valFraction, splitSeed, leftOut }: {
    classes: string[];
    valFraction: number;
    splitSeed: number;
    leftOut: LeftOut;
  },
): Promise<Found> {
  requireClasses(root, classes);
  const builder = new SampleTableBuilder();
  const ends = await addClasses(builder, root, { side: "", folders: classes, leftOut });
  const train: number[] = [], val: number[] = [], untested: string[] = [];
  let first = 0;
  for (const [label, end] of ends.entries()) {
    const toVal = drawValidation(builder, { first, end }, valFraction, splitSeed);
    if (toVal.size === 0) untested.push(classes[label] ?? "");
    for (let row = first; row < end; row++) (toVal.has(row) ? val : train).push(row);
    first = end;
  }
  if (val.length === 0) {
    throw new UsageError(
      `No class of ${quotedPath(root)} has a second image, so none is left to validate: add images`,
    );
  }
  const order = Uint32Array.from([...train, ...val]);
  const table = builder.finish({ classes, train: train.length, order });
  return untested.length === 0 ? { table } : { table, warning: untestedClasses(root, untested) };
}

/** The rows of a class that validate. */
function drawValidation(
  builder: SampleTableBuilder,
  { first, end }: { first: number; end: number },
  valFraction: number,
  splitSeed: number,
): Set<number> {
  const rows = Array.from({ length: end - first }, (_, index) => {
    return { row: first + index, draw: drawOf(builder.path(first + index), splitSeed) };
  }).sort((a, b) => a.draw - b.draw);
  const drawn = rows.filter(({ draw }) => draw < valFraction).length;
  const count = Math.max(Math.min(drawn, rows.length - 1), rows.length > 1 ? 1 : 0);
  return new Set(rows.slice(0, count).map(({ row }) => row));
}

function untestedClasses(root: string, untested: readonly string[]): string {
  const one = untested.length === 1;
  return `${one ? "A class" : `${untested.length} classes`} of ${quotedPath(root)} ${
    one ? "has" : "have"
  } one image only, which trains: none is left to validate ${
    listedInQuotes(untested)
  }; add images, or remove ${one ? "the class" : "the classes"}`;
}

/** A number in [0, 1) that depends on the path and the split's seed alone. */
function drawOf(path: string, splitSeed: number): number {
  const hash = createHash("sha256").update(`${splitSeed}\0${path}`).digest();
  return hash.readUIntBE(0, 6) / 2 ** 48;
}

/**
 * Adds the images of all classes.
 *
 * @param folders The classes' folders, by label
 * @returns The row behind the last one of each class
 */
async function addClasses(
  builder: SampleTableBuilder,
  root: string,
  { side, folders, leftOut }: { side: string; folders: readonly string[]; leftOut: LeftOut },
): Promise<number[]> {
  const ends: number[] = [];
  for (const [label, name] of folders.entries()) {
    const folder = side === "" ? name : `${side}/${name}`;
    if (await addImages(builder, root, folder, label, leftOut) === 0) {
      throw new UsageError(
        `Class folder ${
          quotedPath(join(root, folder))
        } has no images: add some, or remove the folder`,
      );
    }
    ends.push(builder.length);
  }
  return ends;
}

function requireClasses(folder: string, classes: string[]): void {
  if (classes.length >= 2) return;
  const [only] = classes;
  const found = only === undefined ? "no class folders" : `one class only (${quotedPath(only)})`;
  throw new UsageError(
    `Folder ${
      quotedPath(folder)
    } has ${found}: make a folder of images for each of at least two classes`,
  );
}

function list(names: string[]): string {
  return names.length === 0 ? "none of its own" : listedInQuotes(names);
}

/**
 * Finds pictures in a folder whose subfolders are the classes, as torchvision's ImageFolder does:
 * `train/<class>/…` and `val/<class>/…`, or `<class>/…` with a part of the pictures set aside.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { listPictures, type PictureFile, subfolders } from "./picture_files.ts";

/** One picture and its class. */
export interface Sample {
  /** Relative to the root, with `/` between names. */
  readonly path: string;
  /** Position in {@linkcode ImageFolder.classes}. */
  readonly label: number;
  /** Position in its own list. */
  readonly index: number;
}

/** The pictures of a folder, in an order that doesn't depend on the file system. */
export interface ImageFolder {
  readonly root: string;
  /** Names of the classes, sorted by code point. */
  readonly classes: string[];
  readonly train: Sample[];
  readonly val: Sample[];
  /** SHA-256 of all relative paths and sizes, in hexadecimal: equal where the data are. */
  readonly fingerprint: string;
}

/** How {@linkcode scanImageFolder} splits. */
export interface ScanOptions {
  /** Share of a single folder's pictures that validate. */
  valFraction?: number | null;
  /** Another seed gives another split. */
  seed?: number;
}

/** A picture file whose class is known. */
interface Labelled extends PictureFile {
  label: number;
}

/**
 * Lists the pictures of an image folder. Names that begin with a dot are left out; symbolic links are
 * followed.
 *
 * A single folder is split by a hash of each relative path: no picture changes sides when others come or
 * go, but each class with two pictures or more keeps at least one on either side.
 *
 * @param root A folder with `train/` and `val/`, or one of classes
 * @throws {UsageError} when the folder can't be read, or can't be trained on
 */
export async function scanImageFolder(
  root: string,
  options: ScanOptions = {},
): Promise<ImageFolder> {
  const { valFraction, seed = 0 } = options;
  const names = await subfolders(root, "");
  const sides = ["train", "val"].filter((side) => names.includes(side));
  const split = valFraction !== undefined && valFraction !== null;
  if (sides.length === 2 && split) {
    throw new UsageError(
      `${show(root)} holds train/ and val/ already: remove data.valFraction (${valFraction}), ` +
        "or name a single folder of classes as data.root",
    );
  }
  if (sides.length !== 2 && !split) {
    const missing = sides.length === 1
      ? `has ${sides[0]}/ but no ${sides[0] === "train" ? "val" : "train"}/`
      : "has no train/ and val/";
    throw new UsageError(
      `Folder ${show(root)} ${missing}: make both with a folder per class in each, ` +
        "or set data.valFraction, such as to 0.2, to split one folder of classes",
    );
  }
  return split ? await scanSingle(root, names, valFraction, seed) : await scanPair(root);
}

async function scanPair(root: string): Promise<ImageFolder> {
  const classes = await subfolders(root, "train");
  const valClasses = await subfolders(root, "val");
  const onlyTrain = classes.filter((name) => !valClasses.includes(name));
  const onlyVal = valClasses.filter((name) => !classes.includes(name));
  if (onlyTrain.length > 0 || onlyVal.length > 0) {
    throw new UsageError(
      `The classes of ${show(join(root, "train"))} and ${show(join(root, "val"))} differ: ` +
        `only train/ has ${list(onlyTrain)}; only val/ has ${
          list(onlyVal)
        }; give both the same folders`,
    );
  }
  requireClasses(join(root, "train"), classes);
  const train = await scanClasses(root, "train", classes);
  const val = await scanClasses(root, "val", classes);
  return finish(root, classes, train, val);
}

async function scanSingle(
  root: string,
  classes: string[],
  valFraction: number,
  seed: number,
): Promise<ImageFolder> {
  requireClasses(root, classes);
  const train: Labelled[] = [], val: Labelled[] = [];
  const files = await scanClasses(root, "", classes);
  for (let label = 0; label < classes.length; label++) {
    const ofClass = files.filter((file) => file.label === label)
      .map((file) => ({ file, draw: drawOf(file.path, seed) }))
      .sort((a, b) => a.draw - b.draw);
    const hashed = ofClass.filter(({ draw }) => draw < valFraction).length;
    const count = Math.max(Math.min(hashed, ofClass.length - 1), ofClass.length > 1 ? 1 : 0);
    const toVal = new Set(ofClass.slice(0, count).map(({ file }) => file));
    for (const file of files) {
      if (file.label === label) (toVal.has(file) ? val : train).push(file);
    }
  }
  if (val.length === 0) {
    throw new UsageError(
      `No class of ${show(root)} has a second picture, so none is left to validate: add pictures`,
    );
  }
  return finish(root, classes, train, val);
}

/** A number in [0, 1) that depends on the path and the seed alone. */
function drawOf(path: string, seed: number): number {
  const hash = createHash("sha256").update(`${seed}\0${path}`).digest();
  return hash.readUIntBE(0, 6) / 2 ** 48;
}

async function scanClasses(root: string, side: string, classes: string[]): Promise<Labelled[]> {
  const found: Labelled[] = [];
  for (const [label, name] of classes.entries()) {
    const folder = side === "" ? name : `${side}/${name}`;
    const files = await listPictures(root, folder);
    if (files.length === 0) {
      throw new UsageError(
        `Class folder ${show(join(root, folder))} has no pictures: add some, or remove the folder`,
      );
    }
    for (const file of files) found.push({ ...file, label });
  }
  return found;
}

function requireClasses(folder: string, classes: string[]): void {
  if (classes.length >= 2) return;
  const found = classes.length === 0 ? "no class folders" : `one class only (${show(classes[0])})`;
  throw new UsageError(
    `Folder ${
      show(folder)
    } has ${found}: make a folder of pictures for each of at least two classes`,
  );
}

function finish(root: string, classes: string[], train: Labelled[], val: Labelled[]): ImageFolder {
  const hash = createHash("sha256");
  for (const [side, files] of [["train", train], ["val", val]] as const) {
    for (const { path, bytes, label } of files) {
      hash.update(`${side}\0${label}\0${path}\0${bytes}\n`);
    }
  }
  const toSample = ({ path, label }: Labelled, index: number): Sample => ({ path, label, index });
  return {
    root,
    classes,
    train: train.map(toSample),
    val: val.map(toSample),
    fingerprint: hash.digest("hex"),
  };
}

function list(names: string[]): string {
  return names.length === 0 ? "none of its own" : names.map(show).join(", ");
}

/** A path or name in quotes, with line breaks and the like made visible. */
function show(name: string): string {
  return JSON.stringify(name);
}

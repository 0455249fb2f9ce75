/**
 * Looks through a data set's folders as a run would, but goes on where a run ends with an error.
 *
 * @module
 */
import { join } from "node:path";
import { reasonOf, UsageError } from "../base/errors.ts";
import { describeUnreadableFolder } from "../base/unreadable_folder.ts";
import { openRegularFile } from "../base/regular_file.ts";
import { NAMES, sniffFormat } from "../data/codecs/image_header.ts";
import { classMatcher, labelsByName } from "../data/class_names.ts";
import { actualName } from "../data/datasets/image_folder.ts";
import { byCodePoint, isImageName } from "../data/datasets/image_files.ts";
import type { Finding, FindingKind } from "./kinds.ts";

/** The split of an image; `all` in a single folder of classes, which a run splits by itself. */
export type Side = "train" | "val" | "all";

/** An image that a run would use. */
export interface SurveyedImage {
  /** Relative to the root, with `/` between names. */
  readonly path: string;
  readonly side: Side;
  /** Position in {@linkcode Survey.classes}. */
  readonly label: number;
}

/** The contents of the folders. */
export interface Survey {
  readonly sides: readonly Side[];
  /** Names of the classes of all sides, sorted by code point. */
  readonly classes: readonly string[];
  readonly images: readonly SurveyedImage[];
  readonly findings: readonly Finding[];
}

/** Names of the two folders. */
export interface SurveyOptions {
  readonly trainFolder: string;
  readonly valFolder: string;
}

/** Enough of a file to tell its format. */
const SNIFFED_BYTES = 32;

/**
 * Surveys a folder with one folder for training and one for validation, or with one per class.
 *
 * @throws {UsageError} when the folder itself can't be read
 */
export async function surveyFolder(root: string, options: SurveyOptions): Promise<Survey> {
  return await new Surveyor(root).survey(options);
}

/** An entry of a folder, with links followed. */
interface Entry {
  readonly name: string;
  readonly kind: "folder" | "file" | "other" | "lost" | "loop";
}

class Surveyor {
  readonly #root: string;
  readonly #findings: Finding[] = [];
  readonly #images: { path: string; side: Side; name: string }[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  async survey({ trainFolder, valFolder }: SurveyOptions): Promise<Survey> {
    const entries = await this.#read("", true);
    const folders = entries!.filter(({ kind }) => kind === "folder").map(({ name }) => name);
    const found = [
      ["train", actualName(trainFolder, folders)],
      ["val", actualName(valFolder, folders)],
    ] as const;
    const there = found.filter(([, folder]) => folders.includes(folder));
    for (const [side, folder] of there.length === 0 ? [] : found) {
      if (folders.includes(folder)) continue;
      const what = side === "train" ? "training" : "validation";
      this.#find("missingSide", [folder], `no folder of ${what} images`);
    }
    const bySide = there.length > 0
      ? there.map(([side, folder]) => ({ side: side as Side, folder }))
      : [{ side: "all" as const, folder: "" }];
    await this.#strays("", entries!);
    const names = new Map<Side, string[]>();
    for (const { side, folder } of bySide) {
      names.set(side, await this.#classesOf(side, folder, names.get("train") ?? []));
    }
    const classes = [...new Set([...names.values()].flat())].sort(byCodePoint);
    this.#compareSides(names, found);
    this.#compareNames(classes);
    const labels = labelsByName(classes);
    return {
      sides: [...names.keys()],
      classes,
      images: this.#images.map(({ path, side, name }) => ({
        path,
        side,
        label: labels.get(name)!,
      })),
      findings: this.#findings,
    };
  }

  /** Walks the class folders of a side; gives the names of the classes, as far as they are known by those. */
  async #classesOf(side: Side, folder: string, known: readonly string[]): Promise<string[]> {
    const entries = await this.#read(folder) ?? [];
    if (folder !== "") await this.#strays(folder, entries);
    const names = entries.filter(({ kind }) => kind === "folder").map(({ name }) => name);
    const real = await Deno.realPath(join(this.#root, folder));
    const matched = classMatcher(known);
    for (const name of names) {
      const before = this.#images.length;
      const path = joined(folder, name);
      await this.#walk(path, [real], { side, name: matched(name) });
      if (this.#images.length === before) this.#find("emptyClass", [path], "");
    }
    if (names.length < 2) {
      const found = names.length === 0 ? "no class folders" : `only ${JSON.stringify(names[0])}`;
      this.#find("tooFewClasses", [folder || "."], found);
    }
    return names.map(matched);
  }

  async #walk(
    folder: string,
    above: readonly string[],
    of: { side: Side; name: string },
  ): Promise<void> {
    const real = await Deno.realPath(join(this.#root, folder)).catch(() => undefined);
    if (real !== undefined && above.includes(real)) {
      this.#find("linkLoop", [folder], `it leads to ${JSON.stringify(real)}, in which it lies`);
      return;
    }
    const entries = await this.#read(folder) ?? [];
    for (const { name, kind } of entries) {
      if (kind === "folder") continue;
      const path = joined(folder, name);
      if (!isImageName(name)) {
        if (kind === "file") await this.#otherFile(path);
      } else if (kind === "file" || kind === "lost") this.#images.push({ path, ...of });
      else if (kind === "other") this.#find("unreadable", [path], "it is a pipe or a device");
    }
    for (const { name, kind } of entries) {
      if (kind === "folder") await this.#walk(joined(folder, name), [...above, real ?? ""], of);
    }
  }

  /** A file in a class folder that isn't used: people may think that it is. */
  async #otherFile(path: string): Promise<void> {
    const format = await this.#sniff(path);
    if (format) this.#find("overlooked", [path], `its content is ${format}`);
    else this.#find("otherFile", [path], "");
  }

  /** Images that lie beside the class folders. */
  async #strays(folder: string, entries: readonly Entry[]): Promise<void> {
    for (const { name, kind } of entries) {
      const path = joined(folder, name);
      if (kind === "file" && (isImageName(name) || await this.#sniff(path))) {
        this.#find("stray", [path], "");
      }
    }
  }

  async #sniff(path: string): Promise<string | undefined> {
    try {
      using file = await openRegularFile(join(this.#root, path));
      const bytes = new Uint8Array(SNIFFED_BYTES);
      const count = await file.read(bytes) ?? 0;
      const format = sniffFormat(bytes.subarray(0, count));
      return format && NAMES[format];
    } catch {
      return undefined; // it isn't used, so it needn't be readable
    }
  }

  /** Entries sorted by code point, without hidden ones; nothing when the folder can't be read, which is found. */
  async #read(folder: string, isRoot = false): Promise<Entry[] | undefined> {
    const path = join(this.#root, folder);
    const entries: Entry[] = [];
    try {
      for await (const entry of Deno.readDir(path)) {
        if (entry.name.startsWith(".") || entry.name === "__MACOSX") continue;
        entries.push({ name: entry.name, kind: await kindOf(join(path, entry.name)) });
      }
    } catch (error) {
      if (isRoot) throw rootError(path, error);
      this.#find("unreadableFolder", [folder], troubleOf(error));
      return undefined;
    }
    entries.sort((a, b) => byCodePoint(a.name, b.name));
    for (const { name, kind } of entries) {
      if (kind === "loop") this.#find("linkLoop", [joined(folder, name)], "it leads to itself");
      if (ODD_NAME.test(name)) this.#find("oddName", [joined(folder, name)], "");
    }
    return entries.filter(({ kind }) => kind !== "loop");
  }

  #compareSides(
    names: ReadonlyMap<Side, readonly string[]>,
    folders: readonly (readonly ["train" | "val", string])[],
  ): void {
    const [train, val] = [names.get("train"), names.get("val")];
    if (!train || !val) return;
    for (const [side, folder] of folders) {
      const [own, other] = side === "train" ? [train, val] : [val, train];
      for (const name of own.filter((name) => !other.includes(name))) {
        this.#find("classOnOneSide", [joined(folder, name)], "");
      }
    }
  }

  #compareNames(classes: readonly string[]): void {
    const alike = Map.groupBy(classes, simplified);
    for (const names of alike.values()) {
      if (names.length > 1) this.#find("similarNames", names, "");
    }
  }

  #find(kind: FindingKind, files: readonly string[], detail: string): void {
    this.#findings.push({ kind, files, detail });
  }
}

/** Control characters, line and paragraph separators, and what turns the direction of writing. */
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const ODD_NAME = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/** Returns the rest of a name without case, spaces, separators and ways to compose letters. */
function simplified(name: string): string {
  return name.normalize("NFKC").toLowerCase().replace(/[\s_-]+/g, "");
}

async function kindOf(path: string): Promise<Entry["kind"]> {
  try {
    const { isDirectory, isFile } = await Deno.stat(path);
    return isDirectory ? "folder" : isFile ? "file" : "other";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "lost";
    if (error instanceof Deno.errors.FilesystemLoop) return "loop";
    return "file"; // reading it will say what is wrong
  }
}

function rootError(path: string, error: unknown): UsageError {
  const where = JSON.stringify(path);
  if (error instanceof Deno.errors.NotFound) {
    return new UsageError(`Folder ${where} is missing: name a folder of images or an archive`);
  }
  return new UsageError(describeUnreadableFolder(where, error));
}

function troubleOf(error: unknown): string {
  return error instanceof Deno.errors.PermissionDenied ? "no permission" : reasonOf(error);
}

function joined(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}

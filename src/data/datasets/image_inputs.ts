/**
 * Images that somebody names: files, folders, patterns and addresses.
 *
 * @module
 */
import { glob } from "node:fs/promises";
import { join } from "node:path";
import { orAborted } from "../../base/async.ts";
import { messageOf } from "../../base/errors.ts";
import { readRegularFile } from "../../base/regular_file.ts";
import { fetchImage, type FetchLimits, shownUrl } from "../../provision/remote_image.ts";
import { DataError } from "../codecs/data_error.ts";
import { decodeImage, MAX_IMAGE_BYTES } from "../codecs/decode.ts";
import { byCodePoint, isImageName, listImages } from "./image_files.ts";
import { unreadable } from "./image_source.ts";
import type { Sample, SampleSource, SourceRecipe } from "./image_set.ts";
import { DEFAULT_MAX_PIXELS, type PartOf, type RgbImage } from "../codecs/rgb_image.ts";

/** An image that was named. */
export interface ImageInput {
  /** For people: a path, a URL without its password, or `-`. */
  readonly name: string;
  /** The source of the input's bytes. */
  readonly from: "file" | "url" | "stdin";
  /** Path or URL. */
  readonly place: string;
}

/** Something named that is no image. */
export interface InputProblem {
  readonly name: string;
  /** As the end of a sentence. */
  readonly reason: string;
}

/** The meaning of the names. */
export interface FoundInputs {
  readonly inputs: readonly ImageInput[];
  readonly problems: readonly InputProblem[];
}

const GLOB_CHARACTERS = /[*?[\]{}]/;

/**
 * Finds the images that are named, in the order of the names.
 *
 * A folder stands for all images in it and below, in the order of code points; a pattern (`*`, `**`, `?`, `[…]`,
 * `{…}`) for the images that it matches, sorted likewise; `-` for an image on standard input. A file is taken
 * whatever its name.
 */
export async function findInputs(names: readonly string[]): Promise<FoundInputs> {
  const inputs: ImageInput[] = [];
  const problems: InputProblem[] = [];
  for (const name of names) {
    try {
      inputs.push(...await inputsOf(name));
    } catch (error) {
      problems.push({ name: safeName(name), reason: messageOf(error) });
    }
  }
  return { inputs, problems };
}

/** @throws {Error} with the reason why there are none */
async function inputsOf(name: string): Promise<ImageInput[]> {
  if (name === "-") return [{ name, from: "stdin", place: name }];
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(name)?.[1]?.toLowerCase();
  if (scheme === "http" || scheme === "https") {
    if (!URL.canParse(name)) throw new Error("it is not an address");
    return [{ name: shownUrl(name), from: "url", place: name }];
  }
  if (scheme !== undefined) throw new Error(`${scheme}: is not supported, only http: and https:`);
  const info = await statOf(name);
  if (info?.isDirectory) return await inFolder(name);
  if (info) return [fileInput(name)];
  if (!GLOB_CHARACTERS.test(name)) throw new Error("the file is missing");
  return await matching(name);
}

async function inFolder(folder: string): Promise<ImageInput[]> {
  const files = await listImages(folder, "");
  if (files.length === 0) throw new Error("the folder has no images");
  return files.map(({ path }) => fileInput(join(folder, path)));
}

async function matching(pattern: string): Promise<ImageInput[]> {
  const found: string[] = [];
  for await (const path of glob(pattern)) {
    if (isImageName(path) && (await statOf(path))?.isFile) found.push(path);
  }
  if (found.length === 0) throw new Error("no image matches");
  return found.sort(byCodePoint).map(fileInput);
}

function fileInput(path: string): ImageInput {
  return { name: path, from: "file", place: path };
}

async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

function safeName(name: string): string {
  return URL.canParse(name) ? shownUrl(name) : name;
}

/** Settings of an {@linkcode InputSource}. */
export interface InputSourceOptions extends FetchLimits {
  /** Larger images are refused. */
  readonly maxPixels?: number;
}

/** Reads named images; the samples' indices are positions among them. */
export class InputSource implements SampleSource {
  readonly cheap = false;
  /** Missing where an image doesn't come from a file: addresses are fetched by this thread, many at a time. */
  readonly recipe: SourceRecipe | undefined;
  readonly #inputs: readonly ImageInput[];
  readonly #options: InputSourceOptions;

  constructor(inputs: readonly ImageInput[], options: InputSourceOptions = {}) {
    this.#inputs = inputs;
    this.#options = options;
    const { maxPixels = DEFAULT_MAX_PIXELS } = options;
    const areFiles = inputs.every(({ from, name, place }) => from === "file" && name === place);
    this.recipe = areFiles ? { kind: "files", root: "", maxPixels } : undefined;
  }

  async read({ index, path }: Sample, part?: PartOf): Promise<RgbImage> {
    const { maxPixels = DEFAULT_MAX_PIXELS } = this.#options;
    const input = this.#inputs[index];
    if (!input) throw new RangeError(`There is no input ${index}`);
    return await decodeImage(await this.#bytes(input), { path, maxPixels, part });
  }

  async #bytes({ name, from, place }: ImageInput): Promise<Uint8Array<ArrayBuffer>> {
    try {
      switch (from) {
        case "url":
          return await fetchImage(place, this.#options);
        case "stdin":
          return await orAborted(readStandardInput(), this.#options.signal);
        case "file":
          return await readRegularFile(place, MAX_IMAGE_BYTES);
      }
    } catch (error) {
      if (this.#options.signal?.aborted) throw this.#options.signal.reason;
      if (from === "file") throw unreadable(name, error);
      throw new DataError(name, messageOf(error), { cause: error });
    }
  }

  /** No file is left open between images. */
  [Symbol.dispose](): void {}
}

/** Reads standard input to its end, which that of a device never has. */
async function readStandardInput(): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const part of Deno.stdin.readable) {
    bytes += part.length;
    if (bytes > MAX_IMAGE_BYTES) {
      throw new Error(`it has more than ${MAX_IMAGE_BYTES} bytes, the most that are read`);
    }
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

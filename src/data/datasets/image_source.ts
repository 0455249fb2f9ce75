/**
 * Reads the image files of a folder.
 *
 * @module
 */
import { join } from "node:path";
import { reasonOf } from "../../base/errors.ts";
import { readRegularFile, readRegularFileSync } from "../../base/regular_file.ts";
import { DataError } from "../codecs/data_error.ts";
import { decodeImage, decodeImageSync, MAX_IMAGE_BYTES } from "../codecs/decode.ts";
import type { Sample, SampleSource, SourceRecipe } from "./image_set.ts";
import { DEFAULT_MAX_PIXELS, type PartOf, type RgbImage } from "../codecs/rgb_image.ts";

/** Images that are a file each. The engine must be open when one is read: it decodes. */
export class ImageSource implements SampleSource {
  readonly cheap = false;
  readonly ofFiles: { readonly maxPixels: number };
  readonly recipe: SourceRecipe;
  readonly #root: string;

  /**
   * @param root Folder that samples' paths are relative to
   * @param maxPixels Larger images are refused
   */
  constructor(root: string, maxPixels: number = DEFAULT_MAX_PIXELS) {
    this.#root = root;
    this.ofFiles = { maxPixels };
    this.recipe = { kind: "files", root, maxPixels };
  }

  async read({ path }: Sample, part?: PartOf): Promise<RgbImage> {
    return await decodeImage(await this.#bytes(path), { path, ...this.ofFiles, part });
  }

  readSync({ path }: Sample, part?: PartOf): RgbImage {
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = readRegularFileSync(join(this.#root, path), MAX_IMAGE_BYTES);
    } catch (error) {
      throw unreadable(path, error);
    }
    return decodeImageSync(bytes, { path, ...this.ofFiles, part });
  }

  async #bytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await readRegularFile(join(this.#root, path), MAX_IMAGE_BYTES);
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  /** No file is left open between images. */
  [Symbol.dispose](): void {}
}

/** The error for a file that can't be read. */
export function unreadable(path: string, error: unknown): DataError {
  const reason = error instanceof Deno.errors.NotFound
    ? "the file is missing"
    : `the file can't be read: ${reasonOf(error)}`;
  return new DataError(path, reason, { cause: error });
}

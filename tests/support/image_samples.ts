/**
 * Folders of real images of several formats, for tests of loaders.
 *
 * @module
 */
import { join } from "node:path";
import type { Sample } from "../../src/data/datasets/image_set.ts";

const IMAGES = new URL("../fixtures/data/pictures/", import.meta.url);

/** Files of different formats that can all be used. */
export const IMAGE_FILES = [
  "baseline.jpg",
  "rgb.png",
  "lossy.webp",
  "plain.gif",
  "rgb.bmp",
  "exif_6.jpg",
  "gray.png",
] as const;

/** A folder of images, to be disposed of, and its samples of three classes. */
export interface ImageSamples extends AsyncDisposable {
  readonly root: string;
  readonly samples: Sample[];
}

/**
 * Makes a folder.
 *
 * @param images Path of each image, and the fixture that it is a copy of
 * @param broken Texts that stand in the place of images, by path
 */
export async function makeImageSamples(
  images: readonly { readonly path: string; readonly file: string }[],
  broken: Readonly<Record<string, string>> = {},
): Promise<ImageSamples> {
  const root = await Deno.makeTempDir();
  const samples: Sample[] = [];
  for (const [index, { path, file }] of images.entries()) {
    samples.push({ path, label: index % 3, index });
    if (path in broken) await Deno.writeTextFile(join(root, path), broken[path]!);
    else await Deno.copyFile(new URL(file, IMAGES), join(root, path));
  }
  return { root, samples, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

/**
 * Finds a run's images, in any of the formats.
 *
 * @module
 */
import { quotedPath } from "../../base/called_paths.ts";
import { UsageError } from "../../base/errors.ts";
import type { DataFormat } from "../../provision/dataset_catalogue.ts";
import { holdsCifar10, scanCifar10 } from "./cifar10.ts";
import { scanImageFolder, type ScanOptions } from "./image_folder.ts";
import type { ImageSet } from "./image_set.ts";

/** The format, and the options for reading an image folder. */
export interface ImageOptions extends ScanOptions {
  /** The layout of the images on the disk (default `imageFolder`). */
  format?: DataFormat;
}

/**
 * Finds the images in a folder.
 *
 * @throws {UsageError} when the folder can't be read, or can't be trained on
 */
export async function scanImages(
  root: string,
  { format = "imageFolder", ...options }: ImageOptions = {},
): Promise<ImageSet> {
  switch (format) {
    case "imageFolder":
      if (await holdsCifar10(root)) {
        throw new UsageError(
          `Folder ${quotedPath(root)} holds the files of CIFAR-10, not folders of images: ` +
            "set data.format to cifar10",
        );
      }
      return await scanImageFolder(root, options);
    case "cifar10":
      return await scanCifar10(root);
  }
}

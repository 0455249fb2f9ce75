/**
 * The images of a table as those of a run.
 *
 * @module
 */
import type { ImageSet } from "./image_set.ts";
import { ImageSource } from "./image_source.ts";
import type { SampleTable } from "./sample_table.ts";

/** The folder of a table's images, and the limit of their size. */
export interface TableImages {
  /** Folder that the table's paths are relative to. */
  readonly root: string;
  /** Larger images can't be used (default 100 million pixels). */
  readonly maxPixels?: number | undefined;
}

/** Returns the images of a table, which are read from their files. */
export function tableImages(table: SampleTable, { root, maxPixels }: TableImages): ImageSet {
  const { classes, fingerprint } = table.head;
  return {
    root,
    classes: [...classes],
    train: table.side("train"),
    val: table.side("val"),
    fingerprint,
    files: table,
    source: new ImageSource(root, maxPixels),
  };
}

/**
 * The images of a run, independent of their layout on the disk.
 *
 * @module
 */
import type { List } from "../../base/lazy_list.ts";
import type { PartOf, RgbImage } from "../codecs/rgb_image.ts";

/** One image and its class. */
export interface Sample {
  /** Its path relative to the root: a file, with `/` between names, or `data_batch_1.bin#17`, a record. */
  readonly path: string;
  /** Position in {@linkcode ImageSet.classes}; of a data module's sample maybe −1 until it was read. */
  readonly label: number;
  /** Position in its own list. */
  readonly index: number;
}

/** A list of samples, which may be made only when they are asked for. An array is one. */
export type SampleList = List<Sample>;

/** An image's file. */
export interface FileFacts {
  readonly side: "train" | "val";
  /** Position in {@linkcode ImageSet.classes}. */
  readonly label: number;
  /** Relative to the root, with `/` between names. */
  readonly path: string;
  /** Size; −1 when it can't be opened. */
  readonly bytes: number;
  /** The time of the last change, in milliseconds since 1970; 0 where the time isn't known. */
  readonly modified: number;
}

/** The files of all images of a set, in one piece of memory. */
export interface FileTable extends Iterable<FileFacts> {
  readonly length: number;
  /** The facts about a file; nothing behind the end. */
  at(row: number): FileFacts | undefined;
  /** The row of a path on one side; −1 where there is none. */
  rowOf(side: FileFacts["side"], path: string): number;
  /** All of it, which another process of this machine can read in the place of the folder. */
  readonly memory: Uint8Array<ArrayBuffer>;
}

/** Plain data from which another thread makes a source of the same images (`source_recipe.ts`). */
export type SourceRecipe =
  | { readonly kind: "files"; readonly root: string; readonly maxPixels: number }
  | { readonly kind: "cifar10"; readonly folder: string }
  | {
    readonly kind: "module";
    readonly url: string;
    readonly seed: number;
    readonly maxPixels: number;
    /** As of the set that this process has found. */
    readonly fingerprint: string;
    /** True if what the user's code throws goes to standard error. */
    readonly reports: boolean;
  }
  | { readonly kind: "pause"; readonly milliseconds: number };

/** Reads images; any number at the same time. */
export interface SampleSource extends Disposable {
  /**
   * Reads one image.
   *
   * @param part Which part to give: decoding less takes less time; everything unless given. It is called
   * once, unless the image can't be used
   * @param epoch Where samples come as a stream: which one
   * @returns Upright RGB pixels
   * @throws {DataError} naming the image and what is wrong with it
   */
  read(sample: Sample, part?: PartOf, epoch?: number): Promise<RgbImage>;
  /** {@linkcode read} on the calling thread, which waits for the image. */
  readSync?(sample: Sample, part?: PartOf, epoch?: number): RgbImage;
  /** Present where other threads of this process can read the same images. */
  readonly recipe?: SourceRecipe | undefined;
  /** Called with the index of a sample that a thread has been making for some time, or with nothing. */
  readonly onMaking?: ((index: number | undefined) => void) | undefined;
  /** Reading again costs no more than remembering would: a loader needn't keep such images. */
  readonly cheap: boolean;
  /** Present where each sample is an image file below the set's root: larger ones can't be used. */
  readonly ofFiles?: { readonly maxPixels: number };
  /** An image that another process has read is of no use, as its label is known only there. */
  readonly ownOnly?: boolean;
}

/** The images of a run, in an order that doesn't depend on the file system. */
export interface ImageSet {
  readonly root: string;
  /** Names of the classes, by label. */
  readonly classes: string[];
  readonly train: SampleList;
  readonly val: SampleList;
  /** SHA-256 in hexadecimal: equal where the data are. */
  readonly fingerprint: string;
  /** The images' files, where each image has one; no part of the fingerprint but for paths, labels and sizes. */
  readonly files?: FileTable;
  /** The facts that a person should know of the images before they are used. */
  readonly warnings?: readonly string[];
  /** Gives the images of `train` and `val`; whoever has it disposes of it. */
  readonly source: SampleSource;
  /** The training images are a stream: they come in their own order, not shuffled. */
  readonly inOrder?: boolean;
  /** Present where labels are known only to whoever has read a sample: takes over what another process has found. */
  readonly learnLabel?: (split: "train" | "val", index: number, label: number) => void;
}

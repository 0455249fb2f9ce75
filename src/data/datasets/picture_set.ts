/**
 * What a run's pictures are, however they lie on the disk.
 *
 * @module
 */
import type { PartOf, RgbImage } from "../codecs/rgb_image.ts";

/** One picture and its class. */
export interface Sample {
  /** Where it is, relative to the root: a file, with `/` between names, or `data_batch_1.bin#17`, a record. */
  readonly path: string;
  /** Position in {@linkcode PictureSet.classes}; of a data module's sample maybe −1 until it was read. */
  readonly label: number;
  /** Position in its own list. */
  readonly index: number;
}

/** A picture's file. */
export interface FileFacts {
  readonly side: "train" | "val";
  /** Position in {@linkcode PictureSet.classes}. */
  readonly label: number;
  /** Relative to the root, with `/` between names. */
  readonly path: string;
  /** Size; −1 when it can't be opened. */
  readonly bytes: number;
  /** When it was changed, in milliseconds since 1970; 0 where that isn't known. */
  readonly modified: number;
}

/** Reads pictures; any number at the same time. */
export interface SampleSource extends Disposable {
  /**
   * Reads one picture.
   *
   * @param part Which part to give: decoding less takes less time; everything unless given. It is called
   * once, unless the picture can't be used
   * @param epoch Where samples come as a stream: which one
   * @returns Upright RGB pixels
   * @throws {DataError} naming the picture and what is wrong with it
   */
  read(sample: Sample, part?: PartOf, epoch?: number): Promise<RgbImage>;
  /** Reading again costs no more than remembering would: a loader needn't keep such pictures. */
  readonly cheap: boolean;
  /** Present where each sample is a picture file below the set's root: larger ones can't be used. */
  readonly ofFiles?: { readonly maxPixels: number };
  /** A picture that another process has read is of no use, as its label is known only there. */
  readonly ownOnly?: boolean;
}

/** The pictures of a run, in an order that doesn't depend on the file system. */
export interface PictureSet {
  readonly root: string;
  /** Names of the classes, by label. */
  readonly classes: string[];
  readonly train: Sample[];
  readonly val: Sample[];
  /** SHA-256 in hexadecimal: equal where the data are. */
  readonly fingerprint: string;
  /** The pictures' files, where each picture has one; no part of the fingerprint but for paths, labels and sizes. */
  readonly files?: readonly FileFacts[];
  /** What a person should know of the pictures before they are used. */
  readonly warnings?: readonly string[];
  /** Gives the pictures of `train` and `val`; whoever has it disposes of it. */
  readonly source: SampleSource;
  /** The training pictures are a stream: they come in their own order, not shuffled. */
  readonly inOrder?: boolean;
  /** Present where labels are known only to whoever has read a sample: takes over what another process has found. */
  readonly learnLabel?: (split: "train" | "val", index: number, label: number) => void;
}

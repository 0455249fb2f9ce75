/**
 * The possible faults of a data set: each kind with its weight, its name and its cure.
 *
 * @module
 */

/** The weight of a finding: an error stops training or makes its result worthless. */
export type Severity = "error" | "warning" | "note";

/** The severities, the heaviest first. */
export const SEVERITIES: readonly Severity[] = ["error", "warning", "note"];

/** The facts about a kind of finding. */
export interface KindFacts {
  readonly severity: Severity;
  /** In a table, for one or more. */
  readonly title: string;
  /** The thing to do, or the thing that Lockstep does by itself. */
  readonly cure: string;
}

/** All kinds, in the order in which they are listed. */
export const KINDS = {
  missingSide: {
    severity: "error",
    title: "training or validation folder missing",
    cure: "name the folder with --train-folder or --val-folder (data.trainFolder, data.valFolder)",
  },
  tooFewClasses: {
    severity: "error",
    title: "fewer than two classes",
    cure: "make a folder of images for each of at least two classes",
  },
  classOnOneSide: {
    severity: "error",
    title: "class in train or val alone",
    cure: "give both the same class folders",
  },
  emptyClass: {
    severity: "error",
    title: "class without images",
    cure: "add images, or remove the folder",
  },
  unreadableFolder: {
    severity: "error",
    title: "folder that can't be read",
    cure: "mend its access rights",
  },
  linkLoop: {
    severity: "error",
    title: "link that leads in a circle",
    cure: "remove the link",
  },
  unreadable: {
    severity: "error",
    title: "file that can't be read",
    cure: "mend its access rights, or remove it",
  },
  empty: { severity: "error", title: "empty file", cure: "fetch it again, or remove it" },
  notImage: {
    severity: "error",
    title: "named like an image, but none",
    cure: "look at what was saved under this name, fetch the image again or remove the file",
  },
  unsupported: {
    severity: "error",
    title: "format that isn't supported",
    cure: "convert it to JPEG or PNG",
  },
  damaged: {
    severity: "error",
    title: "damaged or cut off",
    cure: "fetch it again, or remove it (data.onError: skip leaves it out)",
  },
  crash: {
    severity: "error",
    title: "ends the decoder's process",
    cure: "remove it, and keep it for a report: no file should do that",
  },
  tooManyPixels: {
    severity: "error",
    title: "more pixels than data.maxPixels",
    cure: "shrink it; or raise data.maxPixels if it isn't a decompression bomb",
  },
  copyAcrossSides: {
    severity: "error",
    title: "exact copy in train and val (leakage)",
    cure: "keep it on one side: validation must not contain what was trained on",
  },
  copyAcrossClasses: {
    severity: "error",
    title: "exact copy in several classes (label conflict)",
    cure: "decide on one class and remove the others",
  },
  inside: {
    severity: "warning",
    title: "damaged inside, but decodes",
    cure: "look at it: a part may be grey or shifted",
  },
  nearAcrossSides: {
    severity: "warning",
    title: "near-duplicate in train and val (leakage)",
    cure: "look at the pairs, and keep the images of one scene on one side",
  },
  nearAcrossClasses: {
    severity: "warning",
    title: "near-duplicate in different classes",
    cure: "look at the pairs: one of the labels is probably wrong",
  },
  copyInClass: {
    severity: "warning",
    title: "exact copy within a class",
    cure: "remove the copies: they count twice",
  },
  wrongEnding: {
    severity: "warning",
    title: "ending of another format",
    cure: "rename it; Lockstep goes by the content, other programs may not",
  },
  overlooked: {
    severity: "warning",
    title: "image that is left out for its ending",
    cure: "give it the ending of its format, or remove it",
  },
  stray: {
    severity: "warning",
    title: "image outside of any class folder",
    cure: "move it into the folder of its class: where it is, it isn't used",
  },
  similarNames: {
    severity: "warning",
    title: "class names that nearly agree",
    cure: "if they mean the same, move the images into one folder",
  },
  oddName: {
    severity: "warning",
    title: "name with line breaks or control characters",
    cure: "rename it: many tools can't cope with such names",
  },
  imbalance: {
    severity: "warning",
    title: "unbalanced classes",
    cure: "add images to the small classes, or weight the loss by class",
  },
  tiny: {
    severity: "warning",
    title: "tiny image",
    cure: "look whether it is a placeholder; it will be enlarged to what the network takes",
  },
  elongated: {
    severity: "warning",
    title: "very long or very wide image",
    cure: "cut it: crops show a small part of it",
  },
  nearInClass: {
    severity: "note",
    title: "near-duplicate within a class",
    cure: "look at the pairs: many of them make a data set smaller than it seems",
  },
  huge: {
    severity: "note",
    title: "huge image",
    cure: "shrink it once: decoding it takes most of the loader's time",
  },
  plain: {
    severity: "note",
    title: "image of nearly one colour",
    cure: "look whether it is a placeholder; it isn't compared for near-duplicates",
  },
  turned: {
    severity: "note",
    title: "turned by EXIF data",
    cure: "nothing to do: Lockstep turns it upright; programs that don't see it lying",
  },
  cmyk: {
    severity: "note",
    title: "CMYK colours",
    cure: "nothing to do: Lockstep converts it to RGB, without its colour profile",
  },
  deep: {
    severity: "note",
    title: "16 bits per channel",
    cure:
      "nothing to do: Lockstep takes the high byte; scale it first if it uses a part of the range",
  },
  alpha: {
    severity: "note",
    title: "transparency",
    cure:
      "nothing to do: Lockstep drops it, and the colours underneath show; put it on a ground first",
  },
  animated: {
    severity: "note",
    title: "animation",
    cure: "nothing to do: Lockstep takes the first frame",
  },
  otherFile: {
    severity: "note",
    title: "file that is no image",
    cure: "nothing to do: Lockstep leaves it out",
  },
} as const satisfies Record<string, KindFacts>;

/** Name of a kind of finding. */
export type FindingKind = keyof typeof KINDS;

/** The names, in the order of {@linkcode KINDS}. */
export const KIND_NAMES = Object.keys(KINDS) as readonly FindingKind[];

/** One thing that was found. */
export interface Finding {
  readonly kind: FindingKind;
  /** The files of the finding, relative to the data's root with `/` between names: one, or those that are alike. */
  readonly files: readonly string[];
  /** More, as the end of a sentence; empty where the kind says all. */
  readonly detail: string;
  /** Of near-duplicates: how many of the 64 bits of their hashes differ. */
  readonly distance?: number;
}

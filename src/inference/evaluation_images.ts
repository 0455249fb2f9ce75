/**
 * The choice of an evaluation's images.
 *
 * @module
 */
import { quotedPath } from "../base/called_paths.ts";
import { UsageError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { holdsCifar10 } from "../data/datasets/cifar10.ts";
import { actualName } from "../data/datasets/image_folder.ts";
import { subfolders } from "../data/datasets/image_files.ts";
import type { EvaluationImages } from "../train/evaluation_job.ts";

/** The images that are asked for. */
interface Wanted {
  /** Another folder than the run's. */
  readonly data?: string | undefined;
  /** One of the two sides (default `val`). */
  readonly split?: "train" | "val";
  /** Names of the classes, in the order of the model's outputs. */
  readonly classes: readonly string[];
}

/** The caller's terms for a folder and a side, for messages. */
export interface Terms {
  /** Term for the folder, as in "name a folder of classes …". */
  readonly data: string;
  /** Term for the side, as in "leave … out". */
  readonly split: string;
}

const FLAGS: Terms = { data: "with --data", split: "--split" };

/**
 * Says which images are evaluated. Another folder than the run's holds the classes, or the run's two sides.
 *
 * @throws {UsageError} when the folder is of another kind
 */
export async function imagesToEvaluate(
  root: string,
  data: Pick<Config["data"], "format" | "trainFolder" | "valFolder">,
  request: Wanted,
  terms: Terms = FLAGS,
): Promise<EvaluationImages> {
  const { split = "val", classes } = request;
  const wanted = { split, classes: [...classes] };
  if (request.data === undefined || data.format !== "imageFolder") return wanted;
  if (await holdsCifar10(root)) {
    throw new UsageError(
      `Folder ${
        quotedPath(root)
      } holds the files of CIFAR-10, but the run was trained on folders of images: ` +
        `name a folder of classes ${terms.data}`,
    );
  }
  const names = await subfolders(root, "");
  const known = new Set(classes);
  const side = actualName(split === "val" ? data.valFolder : data.trainFolder, names);
  if (names.includes(side) && !known.has(side)) return { ...wanted, folder: side };
  if (request.split !== undefined && !names.some((name) => known.has(name))) {
    throw new UsageError(
      `Folder ${
        quotedPath(root)
      } has no ${side}/: name one that has, or a folder of classes, ${terms.data}`,
    );
  }
  if (request.split !== undefined) {
    throw new UsageError(
      `Folder ${
        quotedPath(root)
      } holds classes and no ${side}/, so all of its images are evaluated: ` +
        `leave ${terms.split} out`,
    );
  }
  return { ...wanted, folder: "" };
}

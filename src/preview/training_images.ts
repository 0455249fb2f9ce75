/**
 * Images exactly as the network gets them: transformed, augmented and mixed as in training.
 *
 * @module
 */
import type { List } from "../base/lazy_list.ts";
import type { Config } from "../config/schema.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import type { EpochStep } from "../data/loading/sampler.ts";
import { mixedLines } from "../plots/mixed_classes.ts";
import type { Tile } from "../plots/picture_grid.ts";
import { makeLoaders } from "../train/job.ts";
import { RunPlan } from "../train/run_plan.ts";

/** A run's config and data set, which suffice to show its images. */
export interface ShownData {
  readonly config: Config;
  readonly dataset: ImageSet;
}

/** The training images of an epoch in the order in which they come, each as a step's share of one row. */
export function trainingRows(
  { config, dataset }: ShownData,
  epoch: number,
): List<EpochStep> {
  return new RunPlan(config, dataset).training.rows(epoch);
}

/** The training images of an epoch's first step. */
export function firstStep(data: ShownData, epoch: number): EpochStep[] {
  const rows = trainingRows(data, epoch);
  return rows.slice(0, rows.at(0)?.globalRows ?? 0);
}

/** The validation images in their order. */
export function validationRows({ config, dataset }: ShownData): List<EpochStep> {
  return new RunPlan(config, dataset).validation.rows(0);
}

/** An image as the network gets it, with its class. */
export interface ShownImage {
  readonly width: number;
  readonly height: number;
  /** `width` × `height` × 3 bytes. */
  readonly rgb: Uint8Array;
  readonly class: string;
  /** The class of the image that it is mixed with, where the two differ, and the share (0 … 1) of its own. */
  readonly mixed?: { readonly class: string; readonly share: number };
}

/**
 * The rows as images, exactly as a training step gets them.
 *
 * @returns An image for each row; nothing in the place of one that can't be read, where such are skipped
 * @throws {DataError} for an image that can't be read, where none are skipped
 */
export async function imagesOf(
  { config, dataset }: ShownData,
  part: "train" | "val",
  epoch: number,
  rows: readonly EpochStep[],
): Promise<(ShownImage | undefined)[]> {
  const loader = makeLoaders(dataset, config)[part];
  const seed = part === "train" ? config.seed : 0;
  const images: (ShownImage | undefined)[] = [];
  for await (const batch of loader.batches(rows, part === "train" ? epoch : 0, { seed })) {
    const [image] = loader.imagesOf(batch);
    if (!image) {
      images.push(undefined);
      continue;
    }
    const { width, height, data: rgb } = image;
    const own = dataset.classes[batch.labels[0]];
    const partner = batch.mix && dataset.classes[batch.mix.partnerLabels[0]];
    const mixed = partner === undefined || partner === own
      ? {}
      : { mixed: { class: partner, share: batch.mix!.share } };
    images.push({ width, height, rgb, class: own, ...mixed });
  }
  return images;
}

/**
 * The rows as tiles, titled with their classes; a mixed one with both, a line for each with its share.
 *
 * @returns A tile for each row; nothing in the place of an image that can't be read, where such are skipped
 * @throws {DataError} for an image that can't be read, where none are skipped
 */
export async function tilesOf(
  data: ShownData,
  part: "train" | "val",
  epoch: number,
  rows: readonly EpochStep[],
): Promise<(Tile | undefined)[]> {
  const images = await imagesOf(data, part, epoch, rows);
  return images.map((image) =>
    image && { ...image, title: mixedLines(image.class, image.mixed).join("\n") }
  );
}

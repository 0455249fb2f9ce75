/**
 * Pictures exactly as the network gets them: transformed, augmented and mixed as in training.
 *
 * @module
 */
import { globalBatchSize } from "../config/checks.ts";
import { type EpochStep, planEpoch } from "../data/sampler.ts";
import type { Tile } from "../reports/picture_grid.ts";
import { makeLoaders } from "../train/job.ts";
import type { PreparedRun } from "./prepare.ts";

/** What of a run is needed to show its pictures. */
export type ShownData = Pick<PreparedRun, "config" | "folder">;

/** The training pictures of an epoch in the order in which they come, each as a step's share of one row. */
export function trainingRows(
  { config, folder: { train, inOrder } }: ShownData,
  epoch: number,
): EpochStep[] {
  return rowsOf(planEpoch({
    length: train.length,
    globalBatch: globalBatchSize(config),
    dropLast: config.train.dropLast,
    rank: 0,
    worldSize: 1,
    seed: config.seed,
    epoch,
    shuffle: !inOrder,
  }));
}

/** The validation pictures in their order. */
export function validationRows({ folder: { val } }: ShownData): EpochStep[] {
  const { length } = val;
  const plan = {
    length,
    globalBatch: Math.max(1, length),
    rank: 0,
    worldSize: 1,
    seed: 0,
    epoch: 0,
  };
  return rowsOf(planEpoch({ ...plan, shuffle: false }));
}

/**
 * The rows as pictures, titled with their classes; of a mixed one with both, a line for each with its share.
 *
 * @returns A tile for each row; nothing in the place of a picture that can't be read, where such are skipped
 * @throws {DataError} for a picture that can't be read, where none are skipped
 */
export async function tilesOf(
  { config, folder }: ShownData,
  part: "train" | "val",
  epoch: number,
  rows: readonly EpochStep[],
): Promise<(Tile | undefined)[]> {
  const loader = makeLoaders(folder, config)[part];
  const seed = part === "train" ? config.seed : 0;
  const tiles: (Tile | undefined)[] = [];
  for await (const batch of loader.batches(rows, part === "train" ? epoch : 0, { seed })) {
    const [picture] = loader.picturesOf(batch);
    if (!picture) {
      tiles.push(undefined);
      continue;
    }
    const { width, height, data } = picture;
    const own = folder.classes[batch.labels[0]];
    const partner = batch.mix && folder.classes[batch.mix.partnerLabels[0]];
    const title = partner === undefined ? own : mixedTitle(own, partner, batch.mix!.share);
    tiles.push({ width, height, rgb: data, title });
  }
  return tiles;
}

/** Each row of the steps by itself, with its place and its partner in the step. */
function rowsOf(steps: readonly EpochStep[]): EpochStep[] {
  return steps.flatMap(({ indices, ...step }) =>
    Array.from(indices, (_, row) => ({
      ...step,
      indices: indices.subarray(row, row + 1),
      rowOffset: row,
      partnerIndex: indices.at(row - 1)!,
    }))
  );
}

function mixedTitle(own: string, partner: string, share: number): string {
  if (own === partner) return own;
  const percent = Math.round(100 * share);
  const lines = [`${percent}% ${own}`, `${100 - percent}% ${partner}`];
  return (percent >= 50 ? lines : lines.reverse()).join("\n");
}

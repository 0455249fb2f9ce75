/**
 * Cases of BatchNorm's running statistics.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

/** 17 images in batches of 8, on maps of 1 × 1: the last batch has one value per channel. */
async function single(folder: string, own: Partial<ConfigInput["train"]>) {
  const root = join(folder, "ds");
  await makeImages(root, { classes: ["c0", "c1", "c2"], train: 6, val: 1, side: 32 });
  await Deno.remove(join(root, "train/c2/5.jpg"));
  return tinyConfig(root, {
    model: { name: "resnet18", weights: "none" },
    data: { root, train: transformsFor(32), val: transformsFor(32) },
    train: { epochs: 1, batchSize: 8, lr: 0, momentum: 0, ...own },
  });
}

/** Inputs that gave BatchNorm too few values. */
export const CASES: Case[] = [
  {
    name: "batchnorm_single_value",
    must: "is refused before the start with a cure, and trains with it",
    run: () =>
      withTemporaryFolder(async (folder) => {
        await assert.rejects(train(await single(folder, {})), {
          name: "UsageError",
          message:
            /17 images, batch size 8.*Set train\.dropLast to true, train\.batchSize to 7 or 9/,
        });
        const { history } = await train(await single(folder, { dropLast: true }));
        assert.equal(history.epochs.length, 1);
      }),
  },
  {
    name: "accumulationSteps 8 with batch 8",
    must: "is refused, with fewer parts as the cure",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const config = await single(folder, { accumulationSteps: 8, dropLast: true });
        await assert.rejects(train(config), /Set train\.accumulationSteps to 4/);
      }),
  },
];

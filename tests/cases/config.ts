/**
 * Cases of config keys and values.
 *
 * @module
 */
import assert from "node:assert/strict";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import { resolveClassWeights } from "../../src/coordinator/preparation/prepare.ts";
import { scanData } from "../../src/train/job.ts";
import { makeImages } from "../support/images.ts";
import type { Case } from "./case.ts";

/** Classes, in the order of their outputs. */
const CLASSES = ["01", "1", "10", "2"];

function classWeights(set: string, expected: number[]): Case {
  return {
    name: `class_weight_keys: ${set}`,
    must: "each weight goes to the class that is written",
    async run() {
      const root = await Deno.makeTempDir();
      try {
        await makeImages(root, { classes: CLASSES, train: 2, val: 1, side: 8 });
        const path = new URL("../../configs/default.yaml", import.meta.url).pathname;
        const sets = ["data.dataset=null", `data.root=${root}`, set].map(parseOverride);
        const config = await loadConfig(path, sets);
        const folder = await scanData(root, config);
        using _source = folder.source;
        assert.deepEqual(folder.classes, CLASSES);
        assert.deepEqual(resolveClassWeights(config.train.classWeights, folder), expected);
      } finally {
        await Deno.remove(root, { recursive: true });
      }
    },
  };
}

/** The cases. */
export const CASES: Case[] = [
  classWeights("train.classWeights={01: 2, 2: 3}", [2, 1, 1, 3]),
  classWeights("train.classWeights={01: 2, 1: 4, 10: 5, 2: 3}", [2, 4, 5, 3]),
  classWeights("train.classWeights.01=2", [2, 1, 1, 1]),
];

import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { DivergedError, DivergenceWatch } from "../../src/coordinator/epochs/divergence.ts";
import { makeImages } from "../support/images.ts";
import { trainUntil } from "../support/interrupted_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startCommand, tinyConfig } from "../support/tiny_run.ts";

const CURE =
  "though all ranks make the same updates: memory was changed, or a processor computed wrongly; test the " +
  "memory and the device of";

Deno.test("DivergenceWatch names the ranks that differ from most others, and all where no majority tells", () => {
  const watch = new DivergenceWatch();
  const check = (step: number, ...digests: (number | undefined)[]) => {
    try {
      watch.check({ epoch: 2, step }, digests.map((digest) => ({ digest })));
    } catch (error) {
      assert.ok(error instanceof DivergedError);
      return { ranks: error.ranks, rank: error.rank, message: error.message };
    }
  };
  assert.equal(check(0, undefined, undefined, undefined), undefined, "a step without a comparison");
  assert.equal(check(0, 5), undefined, "one rank");
  assert.deepEqual(check(1, 5, 5, 6), {
    ranks: [2],
    rank: 2,
    message:
      "The parameters or running statistics of rank 2 differ from those of the other 2 ranks in epoch 2, " +
      `step 1, ${CURE} rank 2, and resume the run from a checkpoint of before (--from last-1 where checkpoints/last ` +
      "is newer)",
  });
  assert.equal(check(2, 7, 7, 7), undefined);
  assert.equal(check(3, undefined, undefined, undefined), undefined);
  assert.deepEqual(check(4, 1, 2), {
    ranks: [0, 1],
    rank: undefined,
    message:
      "The parameters or running statistics of ranks 0 and 1 differ from each other in epoch 2, step 4, and no " +
      "majority tells which are right (they were equal in epoch 2, step 2), " +
      `${CURE} each of them, and resume the run from a checkpoint of that step or before (--from last-1 where ` +
      "checkpoints/last is newer)",
  });
  assert.deepEqual(check(5, 1, 2, 1, 3, 1)?.ranks, [1, 3]);
  assert.deepEqual(check(5, 1, 2, 1, 3, 1)?.rank, undefined);
  assert.deepEqual(check(6, 1, 1, 2, 2)?.ranks, [0, 1, 2, 3]);
  assert.deepEqual(check(6, 1, 2, 3)?.ranks, [0, 1, 2]);
});

Deno.test("a bit that flips in one rank's copy is found within train.detectDivergence steps, and the rank is named", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 16 }); // 12 steps of 4 samples
    const cases = [
      // Short vectors: each rank adds them up and updates parameters of its own.
      [
        "shared-memory",
        3,
        "flip-bit:1:6",
        /of rank 1 differ .* other 2 ranks in epoch 1, step 8 .*, step 4\)/,
      ],
      ["nats", 2, "flip-bit:0:3", /of ranks 0 and 1 differ .* in epoch 1, step 4, .*, step 0\)/],
    ] as const;
    for (const [exchange, workers, point, expected] of cases) {
      const path = join(folder, `${exchange}.yaml`);
      const config = tinyConfig(root, {
        ...{ workers, exchange, name: exchange },
        train: { batchSize: 4, detectDivergence: 4 },
      });
      await Deno.writeTextFile(path, stringify(config));
      await using run = startCommand(["train", "--config", path], folder, {
        [FAULT_VARIABLE]: point,
      });
      const { code, stderr } = await run.result;
      assert.equal(code, 1, stderr);
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
  }));

Deno.test("replicas are never taken for different in hundreds of steps, with 2 and 3 ranks, float16 and a resume", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 16 });
    const whole = tinyConfig(root, {
      ...{ workers: 3, exchange: "shared-memory", name: "whole" },
      train: { batchSize: 4, epochs: 20, detectDivergence: 1, ema: { decay: 0.9 } },
    });
    const place = await trainUntil(whole, { epoch: 9, step: 5 });
    const { history } = await train(whole, { resume: place });
    assert.equal(history.epochs.length, 20);
    const nats = tinyConfig(root, {
      ...{ workers: 2, exchange: "nats", name: "nats", engine: { precision: "float16" } },
      train: { batchSize: 4, epochs: 8, detectDivergence: 3 },
    });
    assert.equal((await train(nats)).history.epochs.length, 8);
  }));

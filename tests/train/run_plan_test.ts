import assert from "node:assert/strict";
import { join } from "node:path";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { newShareAt } from "../../src/optim/averages.ts";
import { learningRateAt } from "../../src/optim/schedule.ts";
import { RunPlan } from "../../src/train/run_plan.ts";
import { PROJECT_ROOT, sourceFiles } from "../../scripts/files.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const samples = (train: number, val = 9) => ({ train: { length: train }, val: { length: val } });

function configOf(train: Partial<ConfigInput["train"]>, workers = 2) {
  return validateConfig(
    tinyConfig("/images", { seed: 3, workers, train: { epochs: 2, ...train } }),
  );
}

Deno.test("RunPlan derives batches, steps and samples from the config and the number of samples", () => {
  const plain = new RunPlan(configOf({ batchSize: 8, epochs: 3 }), samples(21));
  assert.deepEqual(
    [plain.globalBatch, plain.epochs, plain.stepsPerEpoch, plain.samplesPerEpoch],
    [8, 3, 3, 21],
  );
  assert.equal(plain.validation.globalBatch, 32);
  assert.equal(plain.validation.stepsPerEpoch, 1);
  const perWorker = { batchSizePerWorker: 4, dropLast: true, epochs: 2 };
  const dropped = new RunPlan(configOf({ batchSize: undefined, ...perWorker }, 3), samples(41, 50));
  assert.deepEqual([dropped.globalBatch, dropped.stepsPerEpoch, dropped.samplesPerEpoch], [
    12,
    3,
    36,
  ]);
  assert.deepEqual([dropped.validation.globalBatch, dropped.validation.stepsPerEpoch], [48, 2]);
  const benched = new RunPlan(configOf({ batchSize: 8 }), samples(30), 10);
  assert.deepEqual([benched.globalBatch, benched.stepsPerEpoch], [10, 3]);
});

Deno.test("RunPlan's rows are those of the ranks together, shuffled anew in each epoch or in their order", () => {
  const config = configOf({ batchSize: 8 });
  for (const inOrder of [false, true]) {
    const plan = new RunPlan(config, { ...samples(21), inOrder });
    const orders = [1, 2].map((epoch) => {
      const ranks = [0, 1, 2].map((rank) => plan.training.steps(epoch, { rank, worldSize: 3 }));
      const together = [0, 1, 2].flatMap((step) =>
        ranks.flatMap((own) => [...own[step].indices].map((index) => ({ step, index })))
      );
      const rows = plan.training.rows(epoch);
      assert.deepEqual(rows.map(({ step, indices: [index] }) => ({ step, index })), together);
      // A row's partner is the row before it, and the last one for the first.
      const first = rows.filter(({ step }) => step === 1).map(({ indices: [index] }) => index);
      assert.deepEqual(
        rows.filter(({ step }) => step === 1).map(({ partnerIndex }) => partnerIndex),
        [first.at(-1), ...first.slice(0, -1)],
      );
      const going = plan.training.steps(epoch, { rank: 1, worldSize: 3 }, 2);
      assert.deepEqual(going, ranks[1].slice(2));
      return rows.map(({ indices: [index] }) => index);
    });
    const own = Array.from({ length: 21 }, (_, index) => index);
    if (inOrder) assert.deepEqual(orders, [own, own]);
    else assert.notDeepEqual(orders[0], orders[1]);
    assert.deepEqual(orders[0].toSorted((a, b) => a - b), own);
    const validated = plan.validation.rows(1).map(({ indices: [index] }) => index);
    assert.deepEqual(validated, own.slice(0, 9), "validation samples keep their order");
  }
});

Deno.test("RunPlan gives the rates and the averages' shares of the run's schedule and length", () => {
  const config = configOf({
    batchSize: 8,
    epochs: 4,
    lr: 0.4,
    schedule: { name: "CosineAnnealingLR", per: "step", warmup: { length: 2, startFactor: 0.1 } },
    ema: { decay: 0.9, everySteps: 2, rule: "torchvision" },
  });
  const plan = new RunPlan(config, samples(21));
  const { schedule, ema } = config.train;
  const length = { epochs: 4, stepsPerEpoch: 3 };
  for (const epoch of [1, 2, 4]) {
    for (const step of [0, 1, 2]) {
      const at = { epoch, step };
      assert.equal(plan.rates.at(at), learningRateAt(schedule, 0.4, at, length));
      assert.equal(plan.rates.at(at, 0.01), learningRateAt(schedule, 0.01, at, length));
      assert.equal(
        plan.newShareAt(at, 5),
        newShareAt({ ema: ema!, schedule, globalBatch: 8, ...length }, at, 5),
      );
    }
  }
  assert.equal(plan.rates.at({ epoch: 1, step: 0 }), 0.4 * 0.1);
  assert.equal(
    new RunPlan(configOf({ batchSize: 8 }), samples(21)).newShareAt({
      epoch: 1,
      step: 0,
    }, 1),
    undefined,
  );
});

Deno.test("nothing but the planner plans an epoch, a learning rate or a global batch", async () => {
  const owners: Readonly<Record<string, RegExp>> = {
    planEpoch: /^src\/data\/loading\//,
    stepsPerEpoch: /^src\/(data\/loading\/|coordinator\/preparation\/check_single_values)/,
    samplesPerEpoch: /^src\/data\/loading\//,
    learningRateAt: /^src\/optim\//,
    newShareAt: /^src\/(optim\/|train\/run_plan)/,
    globalBatchSize: /^src\/(config\/|train\/run_plan|evaluation\/prepare_evaluation)/,
    availableParallelism: /^src\/engine\/threads/,
  };
  const found: string[] = [];
  for (
    const file of (await sourceFiles(PROJECT_ROOT)).filter((file) => /^src\/.*\.ts$/.test(file))
  ) {
    const text = await Deno.readTextFile(join(PROJECT_ROOT, file));
    for (const [name, owner] of Object.entries(owners)) {
      const isCalled = new RegExp(`(?<![.#\\w])${name}\\(`).test(text);
      if (isCalled && !owner.test(file)) found.push(`${file} calls ${name}()`);
    }
  }
  assert.deepEqual(found, []);
});

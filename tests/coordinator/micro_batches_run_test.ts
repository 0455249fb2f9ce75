import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { validateConfig } from "../../src/config/load.ts";
import { describeMicroBatches } from "../../src/coordinator/preparation/micro_batches_note.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel } from "../../src/models/create_model.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { batchNormModel } from "../support/batch_norm_module.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, relativeDifference, tinyConfig } from "../support/tiny_run.ts";

/** 21 images: steps of 12 and 9. The loss of a step is a mean over weights, which the micro-batches share unevenly. */
const TRAIN = {
  batchSize: 12,
  epochs: 2,
  optimizer: "adam",
  momentum: undefined,
  lr: 0.003,
  eps: 1e-4,
  classWeights: { dark: 2, light: 0.5 },
  clipGradNorm: 0.3,
} satisfies Partial<ConfigInput["train"]>;

Deno.test("runs in micro-batches, on one worker and two, have the parameters of one with whole batches", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 7, val: 3 });
    const run = async (
      model: ConfigInput["model"],
      workers: number,
      own: Partial<ConfigInput["train"]>,
    ) => {
      const lines: string[] = [];
      const reporter = { ...silentReporter(), info: (line: string) => void lines.push(line) };
      const config = tinyConfig(root, { model, workers, train: { ...TRAIN, ...own } });
      const { folder, history } = await train(config, { reporter });
      const { info } = await readCheckpoint(join(folder, "checkpoints", "last"));
      const note = lines.find((line) => line.includes("micro-batches"));
      return { ...await lastState(folder), history, steps: info.optimizerSteps, note };
    };
    const module = await batchNormModel(folder);
    const plain = { name: "plain_cnn", weights: "none" } as const;
    const whole = await run(plain, 1, {});
    const frozen = { ...module, freezeBatchNorm: true };
    const wholeFrozen = await run(frozen, 1, {});
    const cases = [
      {
        model: plain,
        expected: whole,
        workers: 1,
        microBatchSize: 5,
        note: /12 images .* 3 micro/,
      },
      { model: plain, expected: whole, workers: 2, microBatchSize: 2, note: /6 images .* 3 micro/ },
      { model: frozen, expected: wholeFrozen, workers: 2, microBatchSize: 4, note: /most 3, with/ },
    ];
    for (const { model, expected, workers, microBatchSize, note } of cases) {
      const parts = await run(model, workers, { microBatchSize });
      const difference = relativeDifference(parts.model, expected.model);
      const label = `${workers} workers, micro-batches of ${microBatchSize}: ${difference}`;
      assert.ok(difference < 1e-6, label);
      assert.equal(parts.steps, 4, "one update per batch");
      assert.equal(parts.history.losses.length, expected.history.losses.length);
      assert.match(parts.note!, note);
      parts.history.epochs.forEach(({ train, validation }, epoch) => {
        const { train: trained, validation: validated } = expected.history.epochs[epoch];
        assert.ok(Math.abs(train.loss - trained.loss) < 1e-5, label);
        assert.ok(Math.abs(validation.loss - validated.loss) < 1e-5, label);
        assert.deepEqual([train.accuracy, validation.count], [trained.accuracy, 9]);
      });
    }
    assert.equal(whole.note, undefined);
  }));

Deno.test("describeMicroBatches() says where BatchNorm makes the result another one", async () => {
  await openEngine();
  const describe = (freezeBatchNorm: boolean, microBatchSize: number) => {
    const config = validateConfig(tinyConfig("/images", {
      workers: 2,
      train: { batchSize: 13, microBatchSize },
    }));
    const model = createModel("resnet18", { numClasses: 3, seed: 1, freezeBatchNorm });
    const note = describeMicroBatches(config, 13, model);
    model.dispose();
    return note;
  };
  const start =
    "A worker computes the 7 images of its share of a step in 2 micro-batches of at most 4";
  assert.equal(describe(true, 6), `${start}, with the result of the whole batch`);
  assert.equal(
    describe(false, 6),
    `${start}. BatchNorm normalizes each micro-batch by itself, so the result isn't that of the whole batch: ` +
      "model.freezeBatchNorm true keeps it from doing so",
  );
  assert.equal(describe(false, 7), undefined);
});

import assert from "node:assert/strict";
import { join } from "node:path";
import { type ConfigInput, train } from "../../mod.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { readHistory } from "../../src/records/history.ts";
import { trainUntil } from "../support/interrupted_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

/** A loss so large that its gradients overflow float16 with the first scales. */
const LARGE_LOSS = `
export const lossPerSample = (logits, { targets }, tf) =>
  tf.mul(4, tf.neg(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
`;

/** A loss that is NaN for images of the last class in the second epoch's weights. */
const NAN_LOSS = `
export const lossPerSample = (logits, { labels }, tf) =>
  tf.where(tf.equal(labels, 2), tf.fill([logits.shape[0]], NaN), tf.sum(logits, 1));
`;

/** Six steps per epoch. */
function configIn(folder: string, changes: Partial<ConfigInput>): ConfigInput {
  const train = { epochs: 2, batchSize: 4, lr: 1e-4, optimizer: "adam", clipGradNorm: 1 } as const;
  const config = moduleConfig(folder, { workers: changes.workers ?? 2, train });
  return { ...config, engine: { precision: "float16" }, ...changes };
}

/** The facts about scaling in a run's folder. */
async function scalingOf(folder: string) {
  const { info } = await readCheckpoint(join(folder, "checkpoints", "last"));
  const { epochs } = await readHistory(folder);
  return {
    skipped: epochs.map(({ skippedSteps }) => skippedSteps),
    lossScale: info.lossScale,
    optimizerSteps: info.optimizerSteps,
    losses: epochs.map(({ train, validation }) => [train.loss, validation.loss]),
    sha256: (await lastState(folder)).sha256,
  };
}

Deno.test("runs with float16 skip the steps that overflow, alike on all ranks and exchanges, and resume bit for bit", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { loss: LARGE_LOSS });
    const shared = await train(configIn(folder, { name: "shared", exchange: "shared-memory" }));
    const whole = await scalingOf(shared.folder);
    const [first, second] = whole.skipped as [number, number];
    assert.ok(first >= 2 && first <= 5, `${first} of 6 steps were skipped`);
    assert.equal(whole.optimizerSteps, 12 - first - second);
    assert.deepEqual(whole.lossScale, {
      scale: 65536 / 2 ** (first + second),
      growthTracker: whole.lossScale!.growthTracker,
      skippedSteps: second,
    });
    assert.ok(whole.losses.flat().every(Number.isFinite));
    const log = await Deno.readTextFile(join(shared.folder, "run.log"));
    assert.match(log, new RegExp(`${first} steps? skipped`));
    const csv = await Deno.readTextFile(join(shared.folder, "history.csv"));
    assert.match(csv, new RegExp(`,skipped_steps\n(.*,${first})\n(.*,${second})\n$`));

    const nats = await train(configIn(folder, { name: "nats", exchange: "nats" }));
    assert.deepEqual(await scalingOf(nats.folder), whole);

    // Interrupted between two steps that are skipped.
    const cut = configIn(folder, { name: "cut", exchange: "shared-memory" });
    const place = await trainUntil(cut, { epoch: 1, step: 1 });
    const { lossScale, step } = (await readCheckpoint(join(place, "checkpoints", "last"))).info;
    assert.ok(step < 6 && lossScale!.skippedSteps > 0);
    const resumed = await train(cut, { resume: place });
    assert.deepEqual(await scalingOf(resumed.folder), whole);
  }));

Deno.test("a loss that isn't finite ends a run with float16, and names the rank", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { loss: NAN_LOSS });
    await assert.rejects(
      train(configIn(folder, { name: "nan" })),
      /Loss or gradients became NaN or infinite on rank \d in epoch 1, step \d, no update was made/,
    );
  }));

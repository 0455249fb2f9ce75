import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { readHistory } from "../../src/records/history.ts";
import { newestRun } from "../support/tiny_run.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

const LIVENESS = { lostAfter: 60 };

/** Links in a run's folder of checkpoints. */
async function checkpointsOf(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(folder, "checkpoints")));
  const names = entries.filter(({ isSymlink }) => isSymlink).map(({ name }) => name).sort();
  const folders = entries.filter(({ isDirectory }) => isDirectory);
  assert.equal(folders.length, names.length, "no folder without a link");
  return names;
}

Deno.test("train() stops early, keeps the newest epochs, and a resumed run stops at the same place", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      checkpoint: { monitor: "loss", everyEpochs: 1, keep: 2 },
      liveness: LIVENESS,
      // Without learning no epoch is better than the first.
      train: { epochs: 9, lr: 0, earlyStopping: { metric: "loss", patience: 3 } },
    });
    const whole = await train(config);
    const reason = /^the loss was no better in 3 epochs than [\d.]+ in epoch 1$/;
    assert.equal(whole.history.epochs.length, 4);
    assert.equal(whole.history.best.epoch, 1);
    assert.match(whole.history.stopped!.reason, reason);
    assert.deepEqual(await checkpointsOf(whole.folder), [
      "best",
      "epoch-3",
      "epoch-4",
      "last",
      "last-1",
    ]);
    await assert.rejects(
      train(config, { resume: whole.folder }),
      /has stopped early, as the loss was no better in 3 epochs.*nothing is left to resume/,
    );
    const onStep = ({ epoch, step }: { epoch: number; step: number }) =>
      epoch === 3 && step === 1 ? "stop" as const : undefined;
    const stopped = await train(config, { onStep });
    assert.equal(stopped.history.epochs.length, 2);
    const { history } = await train(config, { resume: stopped.folder });
    assert.equal(history.epochs.length, 4);
    assert.match(history.stopped!.reason, reason);
  }));

Deno.test("train() saves within an epoch, tells each step, and passes a callback's error on", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      checkpoint: { everySteps: 1 },
      liveness: LIVENESS,
      train: {
        epochs: 2,
        schedule: { name: "ExponentialLR", per: "step", gamma: 0.5 },
      },
    });
    const steps: number[][] = [];
    const saved: number[] = [];
    const out = join(root, "..", "runs");
    const failure = new RangeError("Enough is enough");
    const epochs: number[] = [];
    const run = train(config, {
      onStep: async ({ epoch, step, steps: all, loss, accuracy, learningRate, ...rest }) => {
        assert.ok(loss > 0 && accuracy >= 0 && accuracy <= 1 && rest.imagesPerSecond > 0);
        assert.equal(all, 3);
        assert.equal(learningRate, 0.02 * 0.5 ** (3 * (epoch - 1) + step - 1));
        steps.push([epoch, step]);
        saved.push((await lastState(await newestRun(out))).step);
        if (epoch === 2 && step === 1) throw failure;
      },
      onEpoch: ({ epoch }) => void epochs.push(epoch),
    });
    await assert.rejects(run, (error) => error === failure);
    assert.deepEqual(steps, [[1, 1], [1, 2], [1, 3], [2, 1]]);
    assert.deepEqual(epochs, [1]);
    assert.deepEqual(saved, [0, 1, 2, 3], "when a step is told, the one before is saved");
    const stoppedAt = await newestRun(out);
    const { epoch, step } = await lastState(stoppedAt);
    assert.deepEqual([epoch, step >= 1], [2, true]);
    assert.equal((await readHistory(stoppedAt)).epochs.length, 1);

    await train(config, { resume: stoppedAt });
    const whole = await train(config);
    assert.deepEqual((await lastState(stoppedAt)).sha256, (await lastState(whole.folder)).sha256);
  }));

Deno.test("onEpoch ends training with stop, or with its error", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { liveness: LIVENESS, train: { epochs: 3 } });
    const { history, folder: run } = await train(config, { onEpoch: () => "stop" });
    assert.deepEqual(history.stopped, { epoch: 1, step: 3, reason: "onEpoch said stop" });
    const resumed = train(config, {
      resume: run,
      onEpoch: ({ epoch }) => {
        if (epoch === 2) throw new TypeError("No more");
      },
    });
    await assert.rejects(resumed, TypeError);
    const { epochs, stopped } = await readHistory(run);
    assert.deepEqual([epochs.length, stopped], [2, undefined]);
    assert.equal((await train(config, { resume: run })).history.epochs.length, 3);
  }));

Deno.test("a metric that there isn't can't be monitored", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 2, val: 1 });
    await assert.rejects(
      train(tinyConfig(root, { checkpoint: { monitor: "f1" } })),
      /checkpoint\.monitor is "f1", but there is no such metric: give accuracy, loss, or write one/,
    );
  }));

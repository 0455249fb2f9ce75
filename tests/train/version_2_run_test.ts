import assert from "node:assert/strict";
import { join } from "node:path";
import { evaluate, InterruptedError, loadCheckpoint, train } from "../../mod.ts";
import { loadRunConfig, validateConfig } from "../../src/config/load.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { readSource } from "../../src/export/source.ts";
import { readHistory } from "../../src/records/history.ts";
import { readCheckpoint, readCheckpointInfo } from "../../src/checkpoint/checkpoint.ts";
import { descriptionOf } from "../../src/inference/checkpoint_config.ts";
import { setState } from "../../src/train/load_weights.ts";
import { assertNear as near, CLASSES, TRANSFORMS } from "../support/odd_validation.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, tinyConfig } from "../support/tiny_run.ts";
import { makeVersion2Run } from "../support/version_2.ts";

Deno.test("a run of version 2 keeps its split and transforms; averaged weights and transforms travel with a checkpoint", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "images"), { classes: CLASSES, train: 12, val: 0, side: 44 });
    const root = join(folder, "images", "train");
    const config = tinyConfig(root, {
      seed: 7,
      data: { root, valFraction: 0.25, splitSeed: 7, train: TRANSFORMS, val: TRANSFORMS },
      out: join(folder, "runs"),
      train: { epochs: 2, batchSize: 9, lr: 0.01, ema: { decay: 0.5 } },
    });
    const { val } = validateConfig(config).data;
    const { folder: whole, history } = await train(config);
    const epochs = history.epochs.map(({ validation }) => validation);

    const stop = new AbortController();
    const onStep = ({ epoch, step }: { epoch: number; step: number }) => {
      if (epoch === 2 && step === 1) stop.abort(new InterruptedError("Enough", "SIGINT"));
    };
    await assert.rejects(train(config, { onStep, signal: stop.signal }), /Enough/);
    const old = await newestRun(config.out!);
    assert.notEqual(old, await Deno.realPath(whole));
    await makeVersion2Run(old);
    assert.equal((await readCheckpointInfo(join(old, "checkpoints", "last"))).checkpointVersion, 2);

    // The config around a checkpoint of version 2 says how its images are prepared and divided.
    await openEngine();
    const best = await loadCheckpoint(join(old, "checkpoints", "best"));
    assert.deepEqual(descriptionOf(best.model)!.transforms, val);
    const evaluated = await evaluate(best.model, root);
    near(evaluated.loss, epochs[0].loss);
    assert.deepEqual([evaluated.count, evaluated.accuracy], [epochs[0].count, epochs[0].accuracy]);
    best.model.dispose();
    const copy = join(folder, "copy");
    await Deno.mkdir(copy);
    for (const file of ["checkpoint.json", "model.safetensors"]) {
      await Deno.copyFile(join(old, "checkpoints", "best", file), join(copy, file));
    }
    const preset = await loadCheckpoint(copy);
    assert.deepEqual(descriptionOf(preset.model)!.transforms![1], {
      CenterCrop: { size: [32, 32] },
    });
    preset.model.dispose();

    await train(await loadRunConfig(join(old, "config.yaml")), { resume: old });
    assert.deepEqual((await lastState(old)).sha256, (await lastState(whole)).sha256);
    const resumed = (await readHistory(old)).epochs.map(({ validation }) => validation);
    assert.deepEqual(
      resumed.map(({ loss, accuracy, count }) => ({ loss, accuracy, count })),
      epochs.map(({ loss, accuracy, count }) => ({ loss, accuracy, count })),
    );

    // Averaged weights are those that were validated; the others give another loss.
    const last = join(whole, "checkpoints", "last");
    const { model } = await loadCheckpoint(last);
    near((await evaluate(model, root)).loss, epochs[1].loss);
    const { model: plain, averages } = await readCheckpoint(last);
    assert.ok(averages);
    setState(model, plain, last);
    assert.ok(Math.abs((await evaluate(model, root)).loss - epochs[1].loss) > 1e-4);
    model.dispose();

    // A run's config that was edited later changes nothing about its checkpoints' export.
    const file = join(whole, "config.yaml");
    const text = await Deno.readTextFile(file);
    assert.match(text, /- 28\n/);
    await Deno.writeTextFile(file, text.replaceAll("- 28\n", "- 20\n"));
    const source = await readSource(whole, "best");
    assert.deepEqual(source.facts.preprocessing, { height: 28, width: 28, transforms: val });
    source.model.dispose();
  }));

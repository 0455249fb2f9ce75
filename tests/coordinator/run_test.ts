import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { train } from "../../mod.ts";
import { loadConfig } from "../../src/config/load.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Width and height in a PNG's header. */
async function pngSize(path: string): Promise<[number, number]> {
  const bytes = await Deno.readFile(path);
  assert.deepEqual([...bytes.subarray(0, 8)], PNG);
  const view = new DataView(bytes.buffer);
  return [view.getUint32(16), view.getUint32(20)];
}

Deno.test("train() leaves a run folder with everything in it", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      workers: 2,
      train: { epochs: 3, schedule: { name: "StepLR", stepSize: 2, gamma: 0.1 } },
    });
    const { folder: run, history } = await train(config);
    const names = (await Array.fromAsync(Deno.readDir(run))).map(({ name }) => name).sort();
    assert.deepEqual(names, [
      "batch.png",
      "checkpoints",
      "config.yaml",
      "curves.png",
      "curves.svg",
      "data-files.jsonl.gz",
      "environment.json",
      "events.jsonl",
      "history.csv",
      "history.json",
      "losses.csv",
      "losses.png",
      "losses.svg",
      "metrics.csv",
      "metrics.jsonl",
      "predictions.csv",
      "predictions.png",
      "report.html",
      "report_pictures.json",
      "run.log",
      "tensorboard",
    ]);
    assert.match(basename(run), /^\d{8}-\d{6}-tiny$/);
    assert.equal(await Deno.realPath(join(folder, "runs", "latest")), await Deno.realPath(run));

    const saved = JSON.parse(await Deno.readTextFile(join(run, "history.json")));
    assert.deepEqual(Object.keys(saved), [
      "historyVersion",
      "config",
      "epochs",
      "losses",
      "validations",
      "best",
      "workers",
    ]);
    assert.deepEqual(saved.epochs, history.epochs);
    assert.deepEqual(Object.keys(saved.epochs[0]), [
      "epoch",
      "learningRate",
      "train",
      "validation",
      "seconds",
      "imagesPerSecond",
    ]);
    const rates = saved.epochs.map(({ learningRate }: { learningRate: number }) => learningRate);
    assert.deepEqual(rates.map((rate: number) => rate.toFixed(6)), [
      "0.020000",
      "0.020000",
      "0.002000",
    ]);
    assert.equal(saved.best.perClassAccuracy.length, 3);
    const csv = (await Deno.readTextFile(join(run, "history.csv"))).trim().split("\n");
    assert.equal(csv.length, 1 + 3);

    const again = await loadConfig(join(run, "config.yaml"));
    assert.deepEqual(again, await loadConfig(join(run, "config.yaml")));
    assert.equal(again.train.epochs, 3);
    const events = (await Deno.readTextFile(join(run, "events.jsonl"))).trim().split("\n")
      .map((line) => JSON.parse(line).type)
      .filter((type) => type !== "warning"); // a busy machine's workers may be silent for a while
    assert.deepEqual(events, [
      "started",
      "joined",
      "devices",
      "epoch",
      "epoch",
      "epoch",
      "finished",
      "report",
    ]);
    const environment = JSON.parse(await Deno.readTextFile(join(run, "environment.json")));
    assert.deepEqual(environment.devices, ["CPU:0"]);
    assert.deepEqual(
      environment.workerDevices,
      Array.from({ length: 2 }, () => ({ kind: "cpu", name: "CPU", tensorflow: ["CPU:0"] })),
    );
    for (const image of ["batch.png", "curves.png", "predictions.png"]) {
      const [width, height] = await pngSize(join(run, image));
      assert.ok(width >= 300 && width <= 2400 && height >= 200, `${image}: ${width} × ${height}`);
    }
    for (const checkpoint of ["best", "last", "last-1"]) {
      const info = JSON.parse(
        await Deno.readTextFile(join(run, "checkpoints", checkpoint, "checkpoint.json")),
      );
      assert.deepEqual(info.classes, ["dark", "light", "middle"]);
    }
  }));

Deno.test("train writes plain lines into a pipe: one per epoch, no control characters", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using run = await startTrain(folder, tinyConfig(root, { workers: 2 }));
    const { code, stdout, stderr } = await run.result;
    assert.equal(code, 0, stderr);
    const machine = /heartbeat|progress/; // a busy machine's workers may be silent for a while
    assert.deepEqual(stderr.split("\n").filter((line) => line && !machine.test(line)), []);
    // deno-lint-ignore no-control-regex -- that is what is looked for
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f]/);
    assert.equal(stdout.match(/^epoch \d\/2 /gm)?.length, 2);
    assert.match(stdout, /8 parameters to learn .*\n {2}conv1\.weight \[16, 3, 3, 3\]/);
    assert.match(stdout, /Done in .*: best validation accuracy .* in epoch \d/);
  }));

Deno.test("train goes on from a checkpoint that stands between training and validation", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const whole = await train(tinyConfig(root, { workers: 1 }));
    // As if the run had been killed in the validation of its last epoch.
    const path = join(whole.folder, "history.json");
    const history = JSON.parse(await Deno.readTextFile(path));
    const [last] = history.epochs.splice(-1);
    await Deno.writeTextFile(path, JSON.stringify(history));
    const { code, stderr } = await runCommand(["train", "--resume", whole.folder], folder);
    assert.equal(code, 0, stderr);
    const resumed = JSON.parse(await Deno.readTextFile(path));
    assert.deepEqual(resumed.epochs.at(-1).validation, last.validation);
    assert.deepEqual(resumed.epochs.at(-1).train, last.train);
  }));

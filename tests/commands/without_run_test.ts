import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { stringify } from "@std/yaml";
import { loadConfig } from "../../mod.ts";
import { encodeWithDigest } from "../../src/checkpoint/checkpoint_digest.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, tinyConfig } from "../support/tiny_run.ts";

/** Takes the accuracies out of a run's files, as JSON has them where they were NaN. */
async function withoutAccuracy(run: string): Promise<void> {
  const path = join(await Deno.realPath(join(run, "checkpoints", "best")), "checkpoint.json");
  const { digest: _, ...info } = JSON.parse(await Deno.readTextFile(path));
  assert.equal(typeof info.accuracy, "number");
  await Deno.writeFile(path, encodeWithDigest({ ...info, accuracy: null }));
  const file = join(run, "history.json");
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, text.replaceAll(/"accuracy": [\d.]+/g, '"accuracy": null'));
}

Deno.test("predict, evaluate, export and report take the newest run, with a best that has losses only too", async () => {
  await withTemporaryFolder(async (folder) => {
    const none = await runCommand(["predict", "x.jpg"], folder);
    assert.equal(none.code, 2);
    assert.match(
      none.stderr,
      /^error: There is no run with a best checkpoint in runs; train one with "/,
    );
    assert.match(
      (await runCommand(["report"], folder)).stderr,
      /^error: There is no run with a history in runs; .* or name a run's folder$/m,
    );

    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 3 });
    const [, normalize] = transformsFor(20);
    const config = tinyConfig(root, {
      data: {
        root,
        train: [{ RandomResizedCrop: 20 }, normalize],
        val: [{ Resize: 22 }, { CenterCrop: 20 }, normalize],
      },
      checkpoint: { monitor: "loss" },
      train: { epochs: 5, schedule: { name: "StepLR", stepSize: 2 } },
      liveness: { lostAfter: 60 },
    });
    const file = join(folder, "config.yaml");
    await Deno.writeTextFile(file, stringify(config));
    const flags = [
      ...["--epochs", "1", "--batch-size", "2", "-w", "3", "--lr", "1e-2", "--image-size", "24"],
      ...["--device", "cpu", "--set", "train.schedule=CosineAnnealingLR"],
    ];
    const trained = await runCommand(["train", "--config", file, ...flags], folder);
    assert.equal(trained.code, 0, trained.stderr);
    assert.match(
      trained.stdout + trained.stderr,
      /A step has 2 images for 3 workers: .*; lower --workers to 2, or raise --batch-size to 3 or more/,
    );
    const name = basename(await newestRun(config.out!));
    const run = join(folder, "runs", name);
    const { data, train: { batchSize, lr, schedule }, device } = await loadConfig(
      join(run, "config.yaml"),
    );
    assert.deepEqual([batchSize, lr, schedule?.name, device], [
      2,
      0.01,
      "CosineAnnealingLR",
      "cpu",
    ]);
    assert.deepEqual(data.val.slice(0, 2), [{ Resize: { size: 26 } }, {
      CenterCrop: { size: [24, 24] },
    }]);
    assert.ok(JSON.stringify(data.train[0]).startsWith('{"RandomResizedCrop":{"size":[24,24]'));
    await Deno.mkdir(join(folder, "runs", "29990101-000000-empty"));
    const said = (what: string) =>
      new RegExp(
        `^Run: runs/${name}, the newest with a ${what}; newer ones were left out: 29990101-000000-empty is empty$`,
        "m",
      );
    await withoutAccuracy(run);
    const image = join(root, "val", "a", "0.jpg");
    const predicted = await runCommand(["predict", "--json", image], folder);
    assert.equal(predicted.code, 0, predicted.stderr);
    assert.match(predicted.stderr, said("best checkpoint"));
    assert.equal(JSON.parse(predicted.stdout).predictions.length, 2);

    const evaluated = await runCommand(["evaluate", "--json"], folder);
    assert.equal(evaluated.code, 0, evaluated.stderr);
    assert.match(evaluated.stderr.split("\n")[0], said("best checkpoint"));
    assert.equal(JSON.parse(evaluated.stdout).count, 6);

    const exported = await runCommand(
      ["export", "--format", "safetensors", "--out", "out"],
      folder,
    );
    assert.equal(exported.code, 0, exported.stderr);
    assert.match(exported.stdout.split("\n")[0], said("best checkpoint"));
    assert.match(exported.stdout, /^Exported plain_cnn, 2 classes, epoch 1, to out$/m);

    const report = await runCommand(["report"], folder);
    assert.equal(report.code, 0, report.stderr);
    assert.match(report.stdout.split("\n")[0], said("history"));
    const page = await Deno.readTextFile(join(run, "report.html"));
    const visible = page.replaceAll(/<(script|style)\b.*?<\/\1>/gs, "");
    assert.deepEqual(visible.match(/.{40}\bNaN\b.{9}/g), null);

    const resumed = await runCommand(["train", "--resume", run, "--epochs", "2"], folder);
    assert.equal(resumed.code, 0, resumed.stderr);
    const { epochs } = JSON.parse(await Deno.readTextFile(join(run, "history.json")));
    assert.equal(epochs.length, 2);

    const more = ["train", "--resume", run, "--epochs", "3", "--override"];
    const other = await runCommand([...more, "train.optimizer=adam"], folder);
    assert.equal(other.code, 2, other.stderr);
    assert.match(
      other.stderr,
      /checkpoints\/last holds no conv1\.weight\.exp_avg, which the optimizer needs/,
    );
    assert.doesNotMatch(other.stderr, /\n\s+at /);
    const changed = await runCommand([...more, "train.schedule.name=ExponentialLR"], folder);
    assert.match(
      changed.stderr,
      /^error: --override train\.schedule\.name: train\.schedule\.gamma is missing/m,
    );
    const decay = ["train.schedule=ExponentialLR", "--override", "train.schedule.gamma=.5"];
    const third = await runCommand([...more, ...decay], folder);
    assert.equal(third.code, 0, third.stderr);
    assert.match(await Deno.readTextFile(join(run, "config.yaml")), /name: ExponentialLR/);
  });
});

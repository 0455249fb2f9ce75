import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "@std/yaml";
import { readEvents } from "../../src/records/event_log.ts";
import { readHistory } from "../../src/records/history.ts";
import { readCheckpointInfo } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

Deno.test("a changed config is refused at resume; what may change, and --override, are put on record", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const schedule = { name: "CosineAnnealingLR" } as const;
    const config = tinyConfig(root, { train: { epochs: 1, schedule } });
    await using first = await startTrain(folder, config);
    assert.equal((await first.result).code, 0);
    const run = await newestRun(join(folder, "runs"));
    const path = join(run, "config.yaml");
    const yaml = await Deno.readTextFile(path);
    const history = await Deno.readTextFile(join(run, "history.json"));

    const edited = yaml.replace("lr: 0.02", "lr: 0.3").replace("seed: 0", "seed: 7")
      .replace("momentum: 0.9", "momentum: 0.5").replace(
        "labelSmoothing: 0",
        "labelSmoothing: 0.1",
      );
    await Deno.writeTextFile(path, edited);
    const refused = await runCommand(["train", "--resume", run], folder);
    assert.equal(refused.code, 2, refused.stderr);
    for (
      const text of [
        "train.lr is 0.3, was 0.02",
        "seed is 7, was 0",
        "train.momentum is 0.5, was 0.9",
        "train.labelSmoothing is 0.1, was 0",
        "--override train.lr=0.3 ",
      ]
    ) assert.ok(refused.stderr.replace(/\s+/g, " ").includes(text), refused.stderr);
    assert.equal(await Deno.readTextFile(path), edited);
    assert.equal(await Deno.readTextFile(join(run, "history.json")), history);

    await Deno.writeTextFile(path, yaml);
    const more = ["--set", "train.epochs=3", "--set", "liveness.lostAfter=9", "--workers", "2"];
    const args = ["train", "--resume", run, ...more];
    const set = await runCommand([...args, "--set", "train.lr=0.05"], folder);
    assert.equal(set.code, 2, set.stderr);
    assert.match(set.stderr, /--override train\.lr=0\.05/);
    const went = await runCommand([...args, "--override", "train.lr=0.05"], folder);
    assert.equal(went.code, 0, went.stderr);
    assert.match(went.stdout, /2 workers in the place of 1: .*last bits may differ/);
    assert.match(went.stdout, /3 epochs in the place of 1: train\.schedule \(CosineAnnealingLR\)/);

    const after = await readHistory(run);
    assert.equal(after.epochs.length, 3);
    const configs = [
      parse(await Deno.readTextFile(path)),
      after.config,
      (await readCheckpointInfo(join(run, "checkpoints", "last"))).config,
    ] as { workers: number; train: { lr: number; epochs: number } }[];
    for (const { workers, train } of configs) {
      assert.deepEqual([workers, train.lr, train.epochs], [2, 0.05, 3]);
    }
    const keys = ["workers", "train.epochs", "train.lr", "liveness.lostAfter"].sort();
    assert.deepEqual(after.changes!.map(({ key }) => key).sort(), keys);
    const lr = after.changes!.find(({ key }) => key === "train.lr")!;
    assert.deepEqual(lr, { epoch: 2, step: 0, key: "train.lr", before: 0.02, after: 0.05 });
    const event = (await readEvents(run)).find(({ type }) => type === "resumed")!;
    assert.deepEqual((event.changes as { key: string }[]).map(({ key }) => key).sort(), keys);
    const again = await runCommand(["train", "--resume", run], folder);
    assert.match(again.stderr, /has finished its 3 epochs/);
    assert.equal((await runCommand(["train", "--override", "seed=1"], folder)).code, 2);
  }));

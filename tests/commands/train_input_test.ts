/**
 * Bad input gets one clear sentence and its exit code, and starts nothing.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { decodeSafetensors, encodeSafetensors } from "../../src/weights/safetensors.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { exists } from "../../src/base/paths.ts";
import { makeCifar } from "../support/cifar.ts";
import { type ImageOptions, makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  type CommandResult,
  lastState,
  newestRun,
  runCommand,
  tinyConfig,
} from "../support/tiny_run.ts";

/** Makes images, changes them and the config, and runs `train`. */
async function trainWith(
  folder: string,
  { args = [], config = {}, images = {}, change }: {
    args?: readonly string[];
    config?: Parameters<typeof tinyConfig>[1];
    images?: ImageOptions;
    change?: (root: string) => Promise<void>;
  },
): Promise<CommandResult> {
  const root = join(folder, "images");
  await makeImages(root, { train: 3, val: 1, ...images });
  await change?.(root);
  const path = join(folder, "config.yaml");
  const whole: ConfigInput = tinyConfig(root, {
    ...config,
    train: { epochs: 1, ...config?.train },
  });
  await Deno.writeTextFile(path, stringify(whole));
  return await runCommand(["train", "--config", path, ...args], folder);
}

/** Holds a refusal to one `error:` line, its code, and no run folder with a history. */
async function assertRefused(
  folder: string,
  { code, stderr }: CommandResult,
  expected: { code: number; message: RegExp },
): Promise<void> {
  assert.equal(code, expected.code, stderr);
  assert.match(stderr, expected.message);
  assert.doesNotMatch(stderr, /^\s+at .*\.ts/m, "no stack trace");
  assert.equal(await exists(join(folder, "runs", "latest", "history.json")), false);
}

const refused: Record<string, {
  given: Parameters<typeof trainWith>[1];
  code?: number;
  message: RegExp;
}> = {
  "an unknown key": {
    given: { args: ["--set", "train.epoch=3"] },
    message: /train\.epoch.*did you mean.*epochs/s,
  },
  "a value of another type": {
    given: { args: ["--set", "train.lr=fast"] },
    message: /train\.lr.*number/s,
  },
  "an empty file that validates": {
    given: { change: (root) => Deno.writeTextFile(join(root, "val", "dark", "0.jpg"), "") },
    message:
      /1 of 12 images of .* can't be used: "val\/dark\/0\.jpg" \(it is empty\).*data\.onError=skip.*data check/,
  },
  "a missing folder": {
    given: { args: ["--set", "data.root=nowhere"] },
    message: /nowhere/,
  },
  "an empty class": {
    given: { change: (root) => Deno.mkdir(join(root, "train", "void")) },
    message: /void/,
  },
  "classes that differ between train and val": {
    given: {
      change: (root) => Deno.rename(join(root, "val", "light"), join(root, "val", "bright")),
    },
    message: /bright.*light|light.*bright/s,
  },
  "a weights file that isn't there": {
    given: { args: ["--weights", "no.pth"] },
    message: /no\.pth/,
  },
  "weights of another architecture": {
    given: { args: ["--weights", fixture("network.pth")] },
    message: /doesn't hold the weights of plain_cnn: missing: .*; unexpected: /,
  },
  "a server that doesn't answer": {
    given: { args: ["--nats", "nats://127.0.0.1:1"] },
    code: 1,
    message: /127\.0\.0\.1:1/,
  },
  "pretrained weights of a model that has none": {
    given: { args: ["--weights", "pretrained"] },
    message:
      /There are no pretrained weights for plain_cnn: set model\.weights to none or to a file/,
  },
  "a second version of pretrained weights that have one": {
    given: { args: ["--weights", "pretrained-v2", "--set", "model.name=resnet18"] },
    message: /There is one version of the pretrained weights of resnet18 .*: set model\.weights to/,
  },
  "a head whose sizes don't fit": {
    given: { args: ["--set", "model.head=[{Linear: [1024, 500]}, ReLU, {Linear: classes}]"] },
    message: /model\.head.*1024.*64/s,
  },
  "a head that doesn't end in the classes": {
    given: { args: ["--set", "model.head=[{Linear: 7}]"] },
    message: /model\.head.*7.*3/s,
  },
  "an unknown layer in a head": {
    given: { args: ["--set", "model.head=[{Linaer: classes}]"] },
    message: /model\.head.*Linaer.*did you mean Linear/s,
  },
  "log-probabilities with another loss": {
    given: { args: ["--set", "model.head=[{Linear: classes}, LogSoftmax]"] },
    message: /LogSoftmax.*nll/s,
  },
  "a pattern that matches no parameter": {
    given: { args: ["--set", 'model.train=["fc.*", "layer9.*"]'] },
    message: /model\.train.*layer9\.\*/s,
  },
  "a milestone past the last epoch": {
    given: {
      args: [
        "--set",
        "train.schedule={name: MultiStepLR, milestones: [1, 30]}",
        "--set",
        "train.epochs=3",
      ],
    },
    message: /train\.schedule\.milestones: 30.* past the end of the run, which has 3/,
  },
  "a folder to resume that is no run": {
    given: { args: ["--resume", "."] },
    message: /--resume/,
  },
};

function fixture(name: string): string {
  return new URL(`../fixtures/weights/${name}`, import.meta.url).pathname;
}

for (const [what, { given, code = 2, message }] of Object.entries(refused)) {
  Deno.test(`train refuses ${what}`, () =>
    withTemporaryFolder(async (folder) => {
      await assertRefused(folder, await trainWith(folder, given), { code, message });
    }));
}

Deno.test("train refuses a CIFAR-10 archive that is cut short, and files that are", () =>
  withTemporaryFolder(async (folder) => {
    const { root, archive } = await makeCifar(folder, { archive: true });
    const config = async (data: string) => {
      const path = join(folder, "config.yaml");
      const transforms = transformsFor(32);
      const whole = tinyConfig(data, {
        data: { root: data, format: "cifar10", train: transforms, val: transforms },
        out: join(folder, "runs"),
      });
      await Deno.writeTextFile(path, stringify(whole));
      return await runCommand(["train", "--config", path], folder);
    };
    await Deno.truncate(archive, (await Deno.stat(archive)).size - 1000);
    const message = /cifar-10-binary\.tar\.gz.*(cut short|damaged|whole)/s;
    await assertRefused(folder, await config(archive), { code: 2, message });
    await Deno.truncate(join(root, "data_batch_3.bin"), 10_000);
    const short = { code: 2, message: /data_batch_3\.bin.*10.?000/s };
    await assertRefused(folder, await config(root), short);
  }));

Deno.test("train refuses an output folder that can't be written", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "runs"), "a file in the way");
    const { code, stderr } = await trainWith(folder, {});
    assert.equal(code, 2, stderr);
    assert.match(stderr, /Output folder .*runs can't be written: .*--out/);
    const readOnly = await trainWith(folder, { args: ["--out", "/sys/runs"] }); // for root too
    assert.equal(readOnly.code, 2, readOnly.stderr);
    assert.match(readOnly.stderr, /Output folder \/sys\/runs can't be written: .*--out/);
  }));

Deno.test("train refuses a port that is in use", () =>
  withTemporaryFolder(async (folder) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const result = await trainWith(folder, { args: ["--set", `nats.port=${port}`] });
    await assertRefused(folder, result, { code: 2, message: new RegExp(`${port}.*in use`) });
    const dashboard = await trainWith(folder, { args: ["--dashboard", String(port)] });
    await assertRefused(folder, dashboard, {
      code: 2,
      message: new RegExp(`Port ${port} of 127\\.0\\.0\\.1 is taken: name another`),
    });
  }));

Deno.test("train refuses weights of another number of classes, and truncated ones", () =>
  withTemporaryFolder(async (folder) => {
    const first = await trainWith(folder, { config: { workers: 1 } });
    assert.equal(first.code, 0, first.stderr);
    const weights = join(
      await newestRun(join(folder, "runs")),
      "checkpoints",
      "best",
      "model.safetensors",
    );
    const other = join(folder, "other");
    await Deno.mkdir(other);
    const two = { classes: ["dark", "light"] };
    const mismatch = await trainWith(other, { images: two, args: ["--weights", weights] });
    await assertRefused(other, mismatch, {
      code: 2,
      message: /is a network of 3 classes, and 2 are needed .*set model\.replaceHead to true/,
    });
    const wrapped = join(folder, "wrapped.bin");
    const { tensors } = decodeSafetensors(await Deno.readFile(weights), weights);
    const renamed = new Map([...tensors].map(([name, tensor]) => [`module.${name}`, tensor]));
    await Deno.writeFile(wrapped, encodeSafetensors(renamed, {}));
    const replaced = await trainWith(other, {
      images: two,
      args: ["--weights", wrapped, "--set", "model.replaceHead=true"],
    });
    assert.equal(replaced.code, 0, replaced.stderr);
    assert.match(
      replaced.stdout,
      /Weights: .*wrapped\.bin; taken off the names: module\.; fresh last layer \(fc\) for 2 classes instead of 3/,
    );

    const cut = join(folder, "cut.pth");
    const bytes = await Deno.readFile(fixture("network.pth"));
    await Deno.writeFile(cut, bytes.subarray(0, bytes.length - 100));
    const again = join(folder, "again");
    await Deno.mkdir(again);
    const truncated = await trainWith(again, { args: ["--weights", cut] });
    await assertRefused(again, truncated, {
      code: 2,
      message: /cut\.pth can't be used: .*whole file/,
    });
  }));

Deno.test("train names a corrupt image: fatal by default, counted and skipped when asked", () =>
  withTemporaryFolder(async (folder) => {
    const change = (root: string) => Deno.truncate(join(root, "train", "dark", "1.jpg"), 300);
    const fatal = await trainWith(folder, { change, config: { train: { batchSize: 4 } } });
    assert.equal(fatal.code, 1, fatal.stderr);
    assert.match(fatal.stderr, /train\/dark\/1\.jpg.*data\.onError: skip; `deno task data check`/);
    const args = ["--set", "data.onError=skip"];
    const skipped = await trainWith(folder, { change, args, config: { workers: 2 } });
    assert.equal(skipped.code, 0, skipped.stderr);
    assert.match(skipped.stderr, /Skipped train\/dark\/1\.jpg: /);
    const run = await newestRun(join(folder, "runs"));
    const events = (await Deno.readTextFile(join(run, "events.jsonl"))).trim().split("\n");
    const kinds = events.map((line) => JSON.parse(line).type);
    assert.deepEqual(kinds.filter((type) => type === "skipped"), ["skipped"]);
  }));

Deno.test("train stops before an update that isn't finite, naming rank and images", () =>
  withTemporaryFolder(async (folder) => {
    const config = { workers: 2, train: { epochs: 4, batchSize: 4, lr: 1e30 } };
    const { code, stderr } = await trainWith(folder, { config });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /became NaN or infinite on rank \d in epoch 1, step \d/);
    assert.match(
      stderr,
      /no update was made; .* is in the output of layer \w+: lower train\.lr .*its images were .*\d\.jpg/,
    );
    const { model } = await lastState(await newestRun(join(folder, "runs")));
    assert.ok(model.length > 0 && model.every(Number.isFinite), "the last checkpoint is finite");
  }));

Deno.test("train refuses to resume with other data", () =>
  withTemporaryFolder(async (folder) => {
    const first = await trainWith(folder, { config: { train: { epochs: 1 } } });
    assert.equal(first.code, 0, first.stderr);
    const run = await newestRun(join(folder, "runs"));
    const before = await Deno.readTextFile(join(run, "history.json"));
    await Deno.remove(join(folder, "images", "train", "dark", "0.jpg"));
    const { code, stderr } = await runCommand(["train", "--resume", run], folder);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /1 removed: "train\/dark\/0\.jpg"; .*--accept-data/s);
    assert.equal(await Deno.readTextFile(join(run, "history.json")), before);
  }));

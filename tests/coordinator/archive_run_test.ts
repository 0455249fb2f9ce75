/**
 * Runs on data that come as an archive, from the command line.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { zipOf } from "../support/archives.ts";
import { makeCifar } from "../support/cifar.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, tinyConfig } from "../support/tiny_run.ts";

const CIFAR_DATA = {
  format: "cifar10" as const,
  train: ["RandomHorizontalFlip" as const, ...transformsFor(32)],
  val: transformsFor(32),
};

Deno.test("train() trains two workers on CIFAR-10's archive, and unpacks it once", () =>
  withTemporaryFolder(async (folder) => {
    const cache = join(folder, "cache");
    const { archive } = await makeCifar(folder, { perBatch: 20, archive: true });
    await linkPrograms(cache);
    const config = tinyConfig(folder, {
      out: join(folder, "runs"),
      workers: 2,
      data: { root: archive, ...CIFAR_DATA },
      train: { epochs: 6, batchSize: 10, lr: 0.05 },
    });
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
    const env = { LOCKSTEP_CACHE: cache };
    const args = ["train", "--config", "config.yaml"];
    const { code, stdout, stderr } = await runCommand(args, folder, env);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^unpacking cifar-10-binary\.tar\.gz: /m);
    const run = await newestRun(join(folder, "runs"));
    const { epochs } = JSON.parse(await Deno.readTextFile(join(run, "history.json")));
    assert.equal(epochs.length, 6);
    assert.equal(epochs[5].validation.count, 20, "each image of the test batch, once");
    assert.ok(epochs[5].train.loss < 0.8 * epochs[0].train.loss, "it learns");
    assert.ok((await Deno.stat(join(run, "predictions.png"))).size > 1000);

    const again = await runCommand([...args, "--set", "train.epochs=1"], folder, env);
    assert.equal(again.code, 0, again.stderr);
    assert.doesNotMatch(again.stdout, /unpacking/);
  }));

Deno.test("train() takes a zip of an image folder, with folders of other names", () =>
  withTemporaryFolder(async (folder) => {
    const cache = join(folder, "cache");
    await linkPrograms(cache);
    const images = join(folder, "images");
    await makeImages(images, { train: 4, val: 2 });
    await Deno.rename(join(images, "val"), join(images, "test"));
    const archive = join(folder, "photos.zip");
    await Deno.writeFile(archive, await zipOf(await filesBelow(folder, "images")));
    const config = tinyConfig(archive, { out: join(folder, "runs"), train: { epochs: 1 } });
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
    const env = { LOCKSTEP_CACHE: cache };
    const args = ["train", "--config", "config.yaml"];
    const refused = await runCommand(args, folder, env);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(
      refused.stderr,
      /has train\/ but no val\/: .*keep test\/ for deno task evaluate: .*--set data\.valFolder=test does so/,
    );
    const taken = await runCommand([...args, "--set", "data.valFolder=test"], folder, env);
    assert.equal(taken.code, 0, taken.stderr);
  }));

Deno.test("train() refuses CIFAR-10's data before anything starts, when a file is cut short", () =>
  withTemporaryFolder(async (folder) => {
    const { root, archive } = await makeCifar(folder, { perBatch: 20, archive: true });
    await Deno.truncate(join(root, "data_batch_3.bin"), 5000);
    await Deno.truncate(archive, 100_000);
    const cases: [string, RegExp][] = [
      [root, /data_batch_3\.bin" has 5000 bytes, .* cut short or damaged after 1 whole images/],
      [archive, /cifar-10-binary\.tar\.gz can't be .*cut short or damaged/],
      [join(root, "test_batch.bin"), /test_batch\.bin \(61460 bytes\) is no archive/],
    ];
    for (const [place, message] of cases) {
      const config = tinyConfig(place, {
        out: join(folder, "runs"),
        data: { root: place, ...CIFAR_DATA },
      });
      await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
      const env = { LOCKSTEP_CACHE: join(folder, "cache") };
      const { code, stderr } = await runCommand(["train", "--config", "config.yaml"], folder, env);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
  }));

/** Gives a cache of its own the programs that are set up, so that only the data are new to it. */
async function linkPrograms(cache: string): Promise<void> {
  const { cacheFolder } = await import("../../src/base/paths.ts");
  await Deno.mkdir(cache);
  for await (const { name } of Deno.readDir(cacheFolder())) {
    if (!/^(libtensorflow|nats-server)-[\d.]+$/.test(name)) continue;
    await Deno.symlink(join(cacheFolder(), name), join(cache, name));
  }
}

/** Path → content of the files below a folder. */
async function filesBelow(root: string, folder: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) Object.assign(files, await filesBelow(root, path));
    else files[path] = await Deno.readFile(join(root, path));
  }
  return files;
}

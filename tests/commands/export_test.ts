import { deepEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { openEngine } from "../../src/engine/engine.ts";
import { decodeSafetensors } from "../../src/weights/safetensors.ts";
import { filledModel, madeConfig, writeRun } from "../support/filled_run.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, tinyConfig } from "../support/tiny_run.ts";
import { runDeno } from "../support/run_deno.ts";

await openEngine();

async function taskArgs(): Promise<string[]> {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  return tasks.export.command.split(" ").slice(1);
}

Deno.test("export turns a trained run into all formats, with the rights that its task has", async () => {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "photos");
    await makeImages(root, { classes: ["a b", "<b>c"] });
    const config = tinyConfig(root);
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const trained = await runCommand(["train", "--config", path], folder);
    equal(trained.code, 0, trained.stderr);
    const run = await newestRun(config.out!);

    const { code, stdout, stderr } = await runDeno([...await taskArgs(), "--run", run], {
      cwd: new URL("../../", import.meta.url),
    });
    equal(code, 0, stderr);
    match(stdout, /^Exported plain_cnn, 2 classes, epoch \d, validation acc/);
    const names = (await Array.fromAsync(Deno.readDir(join(run, "export")))).map(({ name }) =>
      name
    );
    deepEqual(names.sort(), [
      "demo",
      "export.json",
      "model.safetensors",
      "tfjs",
      "torchvision.safetensors",
    ]);
    const { userDefinedMetadata } = JSON.parse(
      await Deno.readTextFile(join(run, "export", "tfjs", "model.json")),
    );
    deepEqual(userDefinedMetadata.classes, ["<b>c", "a b"]);
    equal(userDefinedMetadata.name, "tiny");

    // What was exported is a beginning for another run.
    const weights = join(run, "export", "torchvision.safetensors");
    const again = ["--set", "train.lr=1e-12", "--set", "train.epochs=1", "--weights", weights];
    const next = await runCommand(["train", "--config", path, ...again], folder);
    equal(next.code, 0, next.stderr);
    const state = async (file: string) =>
      decodeSafetensors(await Deno.readFile(file), file).tensors;
    const best = join(await newestRun(config.out!), "checkpoints", "best", "model.safetensors");
    const before = await state(weights);
    deepEqual([...await state(join(run, "export", "model.safetensors"))], [...before]);
    for (const [name, { data }] of await state(best)) {
      const values = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer);
      const own = values(before.get(name)!.data);
      values(data).forEach((value, i) => ok(Math.abs(value - own[i]) < 1e-6, name));
    }
  });
});

Deno.test("export says what is wrong, and where the cure is", async () => {
  await withTemporaryFolder(async (folder) => {
    const run = join(folder, "a run <b>");
    const fails = async (args: string[], message: RegExp) => {
      const { code, stderr } = await runCommand(["export", ...args], folder);
      match(stderr, message);
      equal(code, 2);
    };
    await fails([], /There is no run with a best checkpoint in runs; .* or name one with --run$/m);
    await fails(
      ["--checkpoint", run],
      /A checkpoint is exported with its run: name that with --run/,
    );
    await fails(["--run", run], /Run .* is missing: .* runs\/latest/);
    await fails(["--run", run, "--format", "tjfs"], /Unknown format "tjfs": did you mean tfjs\?/);
    await fails(["--run", run, "--format", "tfjs,onnx"], /"onnx": known are safetensors, torch/);

    const model = filledModel("plain_cnn", { numClasses: 2 });
    await writeRun(run, madeConfig({ name: "plain_cnn" }, 20), model, ["x", "y"], "last");
    model.dispose();
    await fails(
      ["--run", run],
      /has no best checkpoint, .*: take the other one with --checkpoint last/,
    );
    await fails(
      ["--run", run, "--checkpoint", "5"],
      /Checkpoint 5 is missing: name an existing one with --checkpoint/,
    );

    const out = join(folder, "out");
    const mine = join(out, "model.safetensors");
    await Deno.mkdir(out);
    await Deno.writeTextFile(mine, "mine");
    const last = ["--run", run, "--checkpoint", "last", "--out", out];
    await fails(last, /model\.safetensors is in the way, .* --out/);
    equal(await Deno.readTextFile(mine), "mine");

    await Deno.remove(mine);
    const { code, stdout, stderr } = await runCommand(
      ["export", ...last, "-f", "safetensors"],
      folder,
    );
    equal(code, 0, stderr);
    match(stdout, /^Exported plain_cnn, 2 classes, epoch 2, validation accuracy 0\.750, to/);
    const tensors = join(run, "checkpoints", "last", "model.safetensors");
    await Deno.writeTextFile(tensors, "cut short");
    await fails(
      last,
      /Checkpoint .*last can't be used: model\.safetensors is cut short or altered/,
    );
    ok((await Deno.stat(mine)).size > 1000, "the earlier export stays");
  });
});

Deno.test("export takes the averaged weights where a run keeps such", async () => {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "photos");
    await makeImages(root);
    const config = tinyConfig(root, { train: { ema: { decay: 0.5, everySteps: 1 }, epochs: 1 } });
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const trained = await runCommand(["train", "--config", path], folder);
    equal(trained.code, 0, trained.stderr);
    const run = await newestRun(config.out!);
    const args = ["export", "--run", run, "--checkpoint", "last", "--format", "safetensors"];
    const { code, stderr } = await runCommand(args, folder);
    equal(code, 0, stderr);
    const read = async (...parts: string[]) => {
      const file = join(run, ...parts);
      return decodeSafetensors(await Deno.readFile(file), file).tensors.get("fc.weight")!.data;
    };
    const exported = await read("export", "model.safetensors");
    deepEqual(exported, await read("checkpoints", "last", "averages.safetensors"));
    ok(exported.join() !== (await read("checkpoints", "last", "model.safetensors")).join());
  });
});

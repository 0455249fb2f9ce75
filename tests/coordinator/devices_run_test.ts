import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { someGpu, someGpus } from "../gpus/some_gpus.ts";
import { writeFakeDriver } from "../support/fake_driver.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";

Deno.test({
  name:
    "train gives each worker a GPU of a machine with four, and refuses what can't be had before the start",
  ignore: Deno.build.os !== "linux" || Deno.build.arch !== "x86_64",
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      const { workers: _, ...config } = tinyConfig(root, { name: "gpus" });
      const path = join(folder, "config.yaml");
      await Deno.writeTextFile(path, stringify(config));
      const gpus = someGpus(4);
      gpus[1] = someGpu(1, { processes: [{ pid: 4242 }] });
      const env = await writeFakeDriver(join(folder, "driver"), gpus);
      const train = async (args: string[], more: Record<string, string> = {}) =>
        await runCommand(["train", "--config", path, ...args], folder, { ...env, ...more });

      const [all, masked, unknown] = await Promise.all([
        train([]),
        train(["--devices", "1,0"], { CUDA_VISIBLE_DEVICES: "2,3" }),
        train(["--devices", "7"]),
      ]);
      assert.match(all.stdout, /3 workers with 1 thread each, on 3 × NVIDIA A100-SXM4-40GB/);
      assert.match(all.stdout, /rank 0 on GPU 0 \(GPU-0000.*rank 1 on GPU 2 .*rank 2 on GPU 3 /);
      assert.match(all.stdout + all.stderr, /GPU 1, .* is in use by process 4242: left out/);
      assert.match(masked.stdout, /2 workers with .* on 2 × NVIDIA A100-SXM4-40GB/);
      assert.match(masked.stdout, /rank 0 on GPU 3 .*rank 1 on GPU 2 /);
      for (const { code, stdout, stderr } of [all, masked]) {
        assert.notEqual(code, 0, "no worker goes on on the CPU");
        assert.match(stderr, /was built without CUDA/);
        assert.doesNotMatch(stdout, /^epoch/m);
      }
      assert.equal(unknown.code, 2);
      assert.equal(unknown.stdout, "");
      assert.match(
        unknown.stderr,
        /--devices names device 7, but there are 4 GPUs: give indices from 0 to 3/,
      );
      const runs = await Array.fromAsync(Deno.readDir(join(folder, "runs")));
      const saved = await Promise.all(
        runs.filter(({ isDirectory }) => isDirectory).map(async ({ name }) => {
          const file = (path: string) => Deno.readTextFile(join(folder, "runs", name, path));
          const { devices } = JSON.parse(await file("environment.json"));
          return [/^workers: (.*)$/m.exec(await file("config.yaml"))?.[1], devices.length];
        }),
      );
      assert.deepEqual(saved.sort(), [["2", 2], ["3", 3]], "what was decided is on record");
    }),
});

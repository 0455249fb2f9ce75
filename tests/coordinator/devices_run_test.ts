import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { heldGpus } from "../../src/gpus/gpu_claims.ts";
import { someGpu, someGpus } from "../gpus/some_gpus.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
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
      let machines = 0; // each run on one of its own: they would hold GPUs against each other
      const train = async (args: string[], more: Record<string, string> = {}) => {
        const LOCKSTEP_RUNTIME = join(folder, `runtime-${machines++}`);
        const own = { ...env, LOCKSTEP_RUNTIME, ...more };
        return await runCommand(["train", "--config", path, ...args], folder, own);
      };

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

fakeCudaTest(
  "train, evaluate and predict open one GPU per process that computes, and no other process opens any",
  () =>
    withTemporaryFolder(async (folder) => {
      await using machine = await fakeGpuMachine({ gpus: 4, zeroResults: true });
      const root = join(folder, "images");
      await makeImages(root);
      const { workers: _, ...config } = tinyConfig(root, { train: { epochs: 1 } });
      const path = join(folder, "config.yaml");
      await Deno.writeTextFile(path, stringify(config));
      const run = async (...args: string[]) => {
        const result = await runCommand(args, folder, machine.env);
        assert.equal(result.code, 0, result.stderr + result.stdout);
        return result.stdout;
      };
      /** Indices of the GPUs with a context, by the processes that have made one. */
      const opened = async () =>
        (await machine.records()).flatMap(({ devices, initCalls }) => {
          assert.ok(devices.length <= 1, "a process sees its own GPU alone");
          assert.equal(initCalls > 0, devices.length === 1, "others don't even start the driver");
          return devices.map(({ uuid }) => machine.gpus.findIndex((gpu) => gpu.uuid === uuid));
        }).sort();

      const head = await run("train", "--config", path, "--devices", "3,1");
      assert.match(head, /2 workers with .* on 2 × NVIDIA A100-SXM4-40GB\n/);
      assert.deepEqual(await opened(), [1, 3]);
      const folderOfRun = join(folder, "runs", "latest");
      const file = (name: string) => Deno.readTextFile(join(folderOfRun, name));
      const events = (await file("events.jsonl")).trim().split("\n").map((line) =>
        JSON.parse(line)
      );
      const { devices } = events.find(({ type }) => type === "devices");
      assert.deepEqual(
        devices,
        [3, 1].map((index) => ({
          kind: "gpu",
          name: machine.gpus[index]!.name,
          uuid: machine.gpus[index]!.uuid,
          index,
          tensorflow: ["CPU:0", "GPU:0"],
        })),
      );
      assert.match(await file("report.html"), /2 × NVIDIA A100-SXM4-40GB/);

      await Promise.all([
        run("evaluate", "--devices", "0,2"),
        run("predict", "--devices", machine.gpus[2]!.uuid, join(root, "val")),
        run("show-batch", "--config", path),
        run("bench", "loader", "--data", join(root, "val", "dark"), "--epochs", "1"),
      ]);
      assert.deepEqual(await opened(), [0, 1, 2, 2, 3]);
      const evaluation = JSON.parse(await file("evaluation/evaluation.json"));
      assert.deepEqual(evaluation.devices, [0, 2].map((index) => machine.gpus[index]!.name));

      // Two at the same moment: each holds its GPUs against the other.
      const pairs = await Promise.all(["a", "b"].map(async (name) => {
        const out = join(folder, name);
        await run("train", "--config", path, "--workers", "2", "--out", out);
        const environment = await Deno.readTextFile(join(out, "latest", "environment.json"));
        const { workerDevices } = JSON.parse(environment);
        return workerDevices.map(({ index }: { index: number }) => index);
      }));
      assert.deepEqual(pairs.flat().sort(), [0, 1, 2, 3]);
      const { LOCKSTEP_RUNTIME } = machine.env as { LOCKSTEP_RUNTIME: string };
      assert.deepEqual(
        [...await heldGpus(join(LOCKSTEP_RUNTIME, "gpus"))],
        [],
        "all are free again",
      );
    }),
);

import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { delay } from "../../src/base/async.ts";
import { someGpu } from "../gpus/some_gpus.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  commandLine,
  runCommand,
  startProcess,
  tinyConfig,
  type TrainProcess,
} from "../support/tiny_run.ts";

const HOPPER = someGpu(0, {
  name: "NVIDIA H100 80GB HBM3",
  computeCapability: 9,
  driverVersion: "570.86.10",
});

/** Starts a training of one epoch on a machine with fake GPUs, and passes the process on. */
async function trainOn(
  options: FakeMachineOptions,
  look: (
    process: TrainProcess,
    place: { folder: string; env: Readonly<Record<string, string>> },
  ) => Promise<void>,
): Promise<void> {
  await using machine = await fakeGpuMachine({ zeroResults: true, maxDelayMicros: 0, ...options });
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const { workers: _, ...config } = tinyConfig(root, { name: "memory" });
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const command = commandLine(["train", "--config", path, "--epochs", "1"]);
    await using process = startProcess(command, { cwd: folder, env: machine.env });
    await look(process, { folder, env: machine.env });
  });
}

fakeCudaTest("a worker out of device memory says how much is used, and the cures", () => {
  const gpu = someGpu(0, { driverVersion: "570.86.10" });
  return trainOn({ gpus: [gpu], memoryMebibytes: 24 }, async (process) => {
    const { code, stdout, stderr } = await process.result;
    assert.equal(code, 1, stdout);
    assert.match(
      stderr,
      /Rank 0.* failed: The memory of NVIDIA A100-SXM4-40GB ran out while this worker computed 8 images at once in training.*; [\d.]+ MiB of 24\.0 MiB are in use, [\d.]+ MiB free: set train\.microBatchSize to 4/,
    );
  });
});

fakeCudaTest(
  "kernels are compiled by one process before the ranks, of evaluate too",
  () =>
    trainOn({ gpus: [HOPPER] }, async (process, { folder, env }) => {
      const { code, stdout, stderr } = await process.result;
      assert.equal(code, 0, stderr);
      assert.match(
        stdout,
        /Compiling a part of TensorFlow's kernels for NVIDIA H100.*\nCompiled the kernels for NVIDIA H100 80GB HBM3 in [\d.]+ s\nepoch 1\/1 /,
      );
      const evaluated = await runCommand(["evaluate", "--run", "runs/latest"], folder, env);
      assert.equal(evaluated.code, 0, evaluated.stderr);
      assert.match(
        evaluated.stdout,
        /Compiled the kernels for NVIDIA H100 80GB HBM3 in [\d.]+ s\n/,
      );
    }),
);

fakeCudaTest(
  "Ctrl-C ends a compilation at once",
  () =>
    trainOn({ gpus: [HOPPER], moduleLoadMillis: 120_000 }, async (process) => {
      await process.seen(/Compiling a part of TensorFlow's kernels/);
      await delay(3_000); // the process loads its first module
      process.kill("SIGINT");
      const { code, stderr } = await withoutWaiting(110, () => process.result);
      assert.equal(code, 130, stderr);
      assert.match(stderr, /Interrupted by SIGINT/);
    }),
);

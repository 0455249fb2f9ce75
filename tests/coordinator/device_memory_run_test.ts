import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { someGpu } from "../gpus/some_gpus.ts";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { type CommandResult, runCommand, tinyConfig } from "../support/tiny_run.ts";

const HOPPER = someGpu(0, {
  name: "NVIDIA H100 80GB HBM3",
  computeCapability: 9,
  driverVersion: "570.86.10",
});

/** Trains on a machine with fake GPUs, for each list of arguments once. */
async function trainOn(
  options: FakeMachineOptions,
  ...runs: string[][]
): Promise<readonly CommandResult[]> {
  await using machine = await fakeGpuMachine({ zeroResults: true, maxDelayMicros: 0, ...options });
  const results: CommandResult[] = [];
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const { workers: _, ...config } = tinyConfig(root, { name: "memory" });
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    for (const args of runs) {
      results.push(await runCommand(["train", "--config", path, ...args], folder, machine.env));
    }
  });
  return results;
}

fakeCudaTest("a worker out of device memory says how much is used, and the cures", async () => {
  const [run] = await trainOn({
    gpus: [someGpu(0, { driverVersion: "570.86.10" })],
    memoryMebibytes: 24,
  }, []);
  assert.equal(run!.code, 1, run!.stdout);
  assert.match(
    run!.stderr,
    /Rank 0.* failed: The memory of NVIDIA A100-SXM4-40GB ran out while this worker computed \d+ images at once in training.*; [\d.]+ MiB of 24\.0 MiB are in use, [\d.]+ MiB free: set train\.accumulationSteps to 2/,
  );
});

fakeCudaTest("kernels are compiled once, by one process before the ranks", async () => {
  const [first, second] = await trainOn({ gpus: [HOPPER] }, ["--epochs", "1"], [
    "--epochs",
    "1",
  ]);
  for (const { code, stderr } of [first!, second!]) assert.equal(code, 0, stderr);
  assert.match(
    first!.stdout,
    /Compiling a part of TensorFlow's kernels for NVIDIA H100.*\nCompiled the kernels for NVIDIA H100 80GB HBM3 in [\d.]+ s\n/,
  );
  assert.doesNotMatch(second!.stdout, /Compil/);
});

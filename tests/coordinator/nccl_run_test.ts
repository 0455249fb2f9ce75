import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import type { ConfigInput } from "../../src/config/schema.ts";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startCommand, tinyConfig } from "../support/tiny_run.ts";

/** An operation that a rank's NCCL has worked off. */
interface Operation {
  readonly rank: number;
  readonly number: number;
  readonly count: number;
  readonly factor: number;
}

async function train(
  folder: string,
  options: FakeMachineOptions,
  { nccl = {}, env = {} }: { nccl?: ConfigInput["nccl"]; env?: Record<string, string> } = {},
) {
  await using machine = await fakeGpuMachine({ gpus: 2, zeroResults: true, ...options });
  const root = join(folder, "images");
  await makeImages(root, { train: 6 });
  const { workers: _, ...config } = tinyConfig(root, { train: { epochs: 1 }, nccl });
  await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
  const command = ["train", "--config", join(folder, "config.yaml")];
  await using process = startCommand(command, folder, { ...machine.env, ...env });
  const result = await process.result;
  return { ...result, operations: await operationsOf(join(machine.folder, "records")) };
}

/** The operations of each rank, in the order in which they were worked off. */
async function operationsOf(records: string): Promise<Operation[][]> {
  const names = (await Array.fromAsync(Deno.readDir(records))).map(({ name }) => name);
  const files = names.filter((name) => name.endsWith(".jsonl")).sort();
  const lines = await Promise.all(files.map((name) => Deno.readTextFile(join(records, name))));
  return lines.map((text) => text.trim().split("\n").map((line) => JSON.parse(line) as Operation))
    .sort(([a], [b]) => a!.rank - b!.rank);
}

fakeCudaTest(
  "auto sums by NCCL between workers on GPUs of their own, in buckets and in one order on all ranks",
  () =>
    withTemporaryFolder(async (folder) => {
      const { code, stderr, operations } = await train(folder, {}, {
        nccl: { bucketSize: "20kB" },
      });
      assert.equal(code, 0, stderr);
      const [first, second] = operations as [Operation[], Operation[]];
      assert.deepEqual(
        second.map(({ number, count }) => [number, count]),
        first.map(({ number, count }) => [number, count]),
      );
      assert.ok(first.every(({ count }) => count <= 5_000), "buckets of 20 kB");
      // The trial, then the steps: weights that add up to 1, as the samples do.
      const perStep = first.filter(({ count }) => count === first.at(-1)!.count).length;
      assert.ok(perStep >= 2, `${first.length} operations`);
      for (const [at, { factor }] of [...first.entries()].slice(-1)) {
        assert.ok(Math.abs(factor + second[at]!.factor - 1) < 1e-6);
      }
    }),
);

fakeCudaTest(
  "auto falls back to shared memory with one sentence where cards copy zeros",
  () =>
    withTemporaryFolder(async (folder) => {
      const options = { nccl: { fault: "zeros" } } as const;
      const { code, stdout, stderr } = await train(folder, options);
      const sentences = (stdout + stderr).match(/.*NCCL can't be used.*/g) ?? [];
      assert.equal(sentences.length, 1, stdout + stderr);
      assert.match(
        sentences[0]!,
        /arrive as zeros: .*NCCL_P2P_DISABLE=1\): gradients go through shared memory$/,
      );
      assert.equal(code, 0, stderr);
    }),
);

import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import type { CudaRecord } from "../support/fake_cuda/record.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { type CommandResult, newestRun, startCommand, tinyConfig } from "../support/tiny_run.ts";

/** The end of a run on a fake machine. */
interface Run extends CommandResult {
  readonly uuids: string[];
  /** Record of the coordinator, whose process was started here. */
  readonly coordinator: CudaRecord | undefined;
  /** Records of the other processes that opened a GPU. */
  readonly others: CudaRecord[];
}

async function train(folder: string, options: FakeMachineOptions, args: string[]): Promise<Run> {
  await using machine = await fakeGpuMachine({ zeroResults: true, ...options });
  const root = join(folder, "images");
  await makeImages(root, { train: 16 });
  const { workers: _, ...config } = tinyConfig(root);
  await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
  const command = ["train", "--config", join(folder, "config.yaml"), ...args];
  await using process = startCommand(command, folder, machine.env);
  const result = await process.result;
  const records = await machine.records();
  return {
    ...result,
    uuids: machine.gpus.map(({ uuid }) => uuid),
    coordinator: records.find(({ pid }) => pid === process.pid),
    others: records.filter(({ pid, initCalls }) => pid !== process.pid && initCalls > 0),
  };
}

/** Launches on a GPU. */
function launchesOn(uuid: string, records: readonly CudaRecord[]): number {
  const devices = records.flatMap(({ devices }) => devices);
  return devices.find((device) => device.uuid === uuid)!.launches;
}

fakeCudaTest(
  "four workers train on a GPU each, and the coordinator opens none",
  () =>
    withTemporaryFolder(async (folder) => {
      const { code, stdout, stderr, uuids, coordinator, others } = await train(
        folder,
        { gpus: 4 },
        ["--workers", "4"],
      );
      assert.equal(code, 0, stderr);
      assert.match(stdout, /4 workers with .* on 4 × NVIDIA A100/);
      assert.match(stdout, /^epoch 2\/2 /m);
      const opened = coordinator?.devices.filter(({ hasContext }) => hasContext) ?? [];
      assert.deepEqual(opened, []);
      // A worker sees its own GPU alone.
      const seen = others.map(({ devices }) => devices.map(({ uuid }) => uuid));
      assert.deepEqual(seen.sort(), uuids.map((uuid) => [uuid]));
      for (const { devices: [device], errors } of others) {
        assert.deepEqual(errors, []);
        assert.ok(device!.hasContext);
        assert.ok(device!.launches > 500, `${device!.launches}`);
      }
      // All ranks do alike, and the first one also sends the state.
      const [first, ...rest] = uuids.map((uuid) => launchesOn(uuid, others));
      assert.equal(new Set(rest).size, 1, `${rest}`);
      assert.ok(first! >= rest[0]! && first! < rest[0]! + 50, `${first}, ${rest}`);
      const run = await newestRun(join(folder, "runs"));
      const { workerDevices } = JSON.parse(await Deno.readTextFile(join(run, "environment.json")));
      assert.deepEqual(workerDevices.map(({ uuid }: { uuid: string }) => uuid), uuids);
    }),
);

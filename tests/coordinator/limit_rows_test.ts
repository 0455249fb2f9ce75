import assert from "node:assert/strict";
import { type ComputeDevice, CPU_DEVICE } from "../../src/base/compute_device.ts";
import { validateConfig } from "../../src/config/load.ts";
import { withWorkers } from "../../src/config/schema.ts";
import { limitRows } from "../../src/coordinator/preparation/limit_rows.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { buildReplica } from "../../src/train/build_replica.ts";
import { RunPlan } from "../../src/train/run_plan.ts";
import { batchNormModel } from "../support/batch_norm_module.ts";
import { transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const MIB = 2 ** 20;

/** GPUs, of so many MiB each. */
const gpus = (...mebibytes: number[]): ComputeDevice[] =>
  mebibytes.map((size, index) => ({
    ...{ kind: "gpu", uuid: `GPU-${index}`, index, name: "NVIDIA L4", busId: "0" },
    memoryBytes: size * MIB,
  }));

Deno.test("limitRows() keeps to the share of before where a larger one doesn't fit into a GPU", () =>
  withTemporaryFolder(async (folder) => {
    await openEngine();
    const transforms = transformsFor(64);
    const data = { root: "/images", train: transforms, val: transforms };
    const module = await batchNormModel(folder);
    // A batch of 12 on 3 workers; an image takes about 1 MiB.
    const decide = async (
      workers: number,
      devices: ComputeDevice[],
      { train = {}, ...config }: NonNullable<Parameters<typeof tinyConfig>[1]> = {},
    ) => {
      const changes = { ...config, workers: 3, train: { batchSize: 12, ...train } };
      const loaded = validateConfig({ ...tinyConfig("/images", changes), data });
      const run = withWorkers(loaded, 3);
      using replica = await buildReplica(run, { numClasses: 3 });
      const plan = new RunPlan(run, { train: new Array(24), val: [] } as never);
      return limitRows({ config: run, replica, plan }, workers, devices);
    };
    assert.equal(await decide(2, gpus(16, 16)), undefined, "6 images fit");
    assert.equal(await decide(2, [CPU_DEVICE, CPU_DEVICE]), undefined);
    const two = await decide(2, gpus(16, 5));
    assert.deepEqual(two, {
      mostRows: 4,
      note:
        "With 2 workers, 6 images at once take about 6.3 MiB of GPU memory by an estimate, but GPU 1, NVIDIA L4 has 5.0 " +
        "MiB. A worker computes the 6 images of its share of a step in 2 micro-batches of at most 3, with the result of " +
        "the whole batch",
    });
    assert.equal((await decide(1, gpus(5)))!.mostRows, 4, "never more than at the start");
    const half = { train: { accumulationSteps: 2 } };
    assert.equal((await decide(1, gpus(3), half))!.mostRows, 2, "of a share of 4 in two parts");
    assert.equal(
      await decide(1, gpus(3), { train: { microBatchSize: 2 } }),
      undefined,
      "the config keeps to it already",
    );
    const part = await decide(1, gpus(16), { engine: { gpuMemory: 0.25 } });
    assert.match(part!.note, /engine.gpuMemory leaves 4.0 MiB of GPU 0, NVIDIA L4\. A worker/);
    const normalized = await decide(1, gpus(1), { model: module });
    assert.match(normalized!.note, /BatchNorm normalizes each micro-batch by itself/);
  }));

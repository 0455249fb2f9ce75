import assert from "node:assert/strict";
import type { ComputeGpu } from "../../src/base/compute_device.ts";
import { UsageError } from "../../src/base/errors.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { validateConfig } from "../../src/config/load.ts";
import {
  judgeMemory,
  type MemoryNeed,
} from "../../src/coordinator/preparation/check_gpu_memory.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const GIB = 2 ** 30;
const GPU: ComputeGpu = {
  ...{ kind: "gpu", uuid: "GPU-1", index: 1, name: "NVIDIA T4", busId: "0", memoryBytes: 16 * GIB },
};

/** 1 GiB of parameters and gradients, 100 MiB per image, of which 40 at least. */
const need = (rows: number): MemoryNeed => ({
  fixed: GIB,
  perImage: { least: 40 * 2 ** 20, estimated: 100 * 2 ** 20 },
  rows,
});

function judge(
  rows: number,
  train: Partial<ConfigInput["train"]> = { batchSize: 4 * rows },
  engine: ConfigInput["engine"] = {},
) {
  const config = validateConfig(tinyConfig("/images", { workers: 4, train, engine }));
  return judgeMemory(config, GPU, need(rows));
}

Deno.test("judgeMemory() warns of a batch that may not fit, refuses one that can't, and names one that would", () => {
  assert.equal(judge(100), undefined, "1 + 9.8 GiB of 16");
  // 0.85 of 16 GiB less 1 GiB holds 129 images of 100 MiB.
  const large = judge(200)!;
  assert.match(large, /^A worker computes 200 images at once, which takes about 20.5 GiB of GPU/);
  assert.match(large, /by an estimate \(1.0 GiB for parameters and gradients, 100 MiB per image\)/);
  assert.match(
    large,
    /but GPU 1, NVIDIA T4 has 16.0 GiB: set train.microBatchSize to 129 or less, or train.batchSize to 516 or less$/,
  );
  assert.throws(() => judge(500), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(
      error.message,
      /500 images .* set train.microBatchSize to 129 or less, or train.batchSize to 516 or less$/,
    );
    return true;
  });
  const each = { batchSize: undefined, batchSizePerWorker: 200 };
  assert.match(judge(200, each)!, /to 129 or less, or train.batchSizePerWorker to 129 or less$/);
  // A share of 400 images in two passes.
  assert.match(
    judge(200, { batchSize: 1600, accumulationSteps: 2 })!,
    /microBatchSize to 129 or less in the place of train.accumulationSteps, or train.batchSize to 1032/,
  );
  assert.match(
    judge(200, { batchSize: 1600, microBatchSize: 200 })!,
    /: set train.microBatchSize to 129 or less$/,
    "the size of the batch makes no difference",
  );
});

Deno.test("judgeMemory() keeps to engine.gpuMemory, and says where not even one image fits", () => {
  assert.match(
    judge(100, { batchSize: 400 }, { gpuMemory: 0.5 })!,
    /engine.gpuMemory leaves 8.0 GiB of GPU 1/,
  );
  assert.match(judge(100, { batchSize: 400 }, { gpuMemory: "8GB" })!, /leaves 7.5 GiB/);
  assert.throws(
    () => judge(1, { batchSize: 4 }, { gpuMemory: "1.1GB" }),
    /not even one image fits; use smaller images or a smaller network$/,
  );
});

import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import { EngineError } from "../../src/engine/binding/status.ts";
import { type DeviceWork, explainDeviceError } from "../../src/worker/device_errors.ts";

const WORK: DeviceWork = {
  kind: "training",
  device: { kind: "gpu", uuid: "GPU-1", index: 0, name: "NVIDIA L4", busId: "0" },
  rows: 32,
  gpuMemory: 0.5,
  memory: { freeBytes: 2 ** 30, totalBytes: 24 * 2 ** 30 },
};
const OOM = new EngineError(
  "RESOURCE_EXHAUSTED",
  "forward_backward",
  "OOM when allocating tensor with shape[32,64,112,112] and type float on GPU:0 by allocator GPU_0_bfc",
);

Deno.test("explainDeviceError() says which memory ran out, how much is used, and the cures", () => {
  const error = explainDeviceError(OOM, WORK) as LockstepError;
  assert.equal(
    error.message,
    "The memory of NVIDIA L4 ran out while this worker computed 32 images at once in training (a tensor of shape " +
      "[32,64,112,112], 98.0 MiB, found no room); 23.0 GiB of 24.0 GiB are in use, 1.0 GiB free; engine.gpuMemory allows " +
      "0.5 of it: set train.microBatchSize to 16 (the same batch in smaller parts), or a smaller train.batchSize, make " +
      "the images smaller (the last size in data.train and data.val), raise engine.gpuMemory, end other programs on this " +
      "GPU (nvidia-smi), or take one with more memory (--devices)",
  );
  assert.equal(error.cause, OOM);
  const wrapped = new LockstepError("Layer conv1 failed", { cause: OOM });
  const evaluating = explainDeviceError(wrapped, { ...WORK, kind: "evaluation", rows: 128 });
  assert.match(
    (evaluating as Error).message,
    /128 images at once in evaluation .*use a smaller batch/,
  );
  const cures: [Partial<DeviceWork>, RegExp][] = [
    [{ rows: 33 }, /: set train.microBatchSize to 16 \(the same batch in smaller parts\), or a/],
    [{ accumulationSteps: 4 }, /to 16 in the place of train.accumulationSteps \(the/],
    [
      { kind: "validation", rows: 128 },
      /in validation .*to 16 \(training in parts of that size, and validation in parts of 4 times that\), or a/,
    ],
    [{ kind: "validation", rows: 7 }, /: set a smaller train.batchSize, make/],
  ];
  for (const [change, expected] of cures) {
    assert.match((explainDeviceError(OOM, { ...WORK, ...change }) as Error).message, expected);
  }
  const single = explainDeviceError(OOM, { ...WORK, rows: 1, gpuMemory: undefined }) as Error;
  assert.doesNotMatch(single.message, /microBatchSize|gpuMemory/);
});

Deno.test("explainDeviceError() explains CUDA's errors, and leaves all others as they are", () => {
  const lost = new EngineError(
    "INTERNAL",
    "f",
    "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
  );
  const error = explainDeviceError(lost, WORK) as Error;
  assert.match(
    error.message,
    /^NVIDIA L4 failed: A kernel has failed on the GPU, or .* off the bus.*, or set device to cpu \(CUDA_ERROR/,
  );
  const other = new EngineError("INVALID_ARGUMENT", "f", "Incompatible shapes");
  for (const same of [other, new Error("something"), new LockstepError("else")]) {
    assert.equal(explainDeviceError(same, WORK), same);
  }
  assert.equal(explainDeviceError(OOM, { ...WORK, device: { kind: "cpu" } }), OOM);
});

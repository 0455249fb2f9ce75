import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import { NCCL_RESULT, ncclError, ncclTimeout } from "../../src/engine/binding/nccl_problems.ts";
import { EngineError } from "../../src/engine/binding/status.ts";
import { explainDeviceError } from "../../src/worker/device_errors.ts";
import { blameOf } from "../../src/worker/blame.ts";

const GPU = { kind: "gpu", uuid: "GPU-1000", index: 1, name: "NVIDIA L4", busId: "0" } as const;

Deno.test("blameOf() blames NCCL's errors on the exchange, and a GPU's on its process", () => {
  const nccl = (code: number) => ncclError(code, { call: "ncclAllReduce", rank: 1, said: "so" });
  assert.equal(blameOf(nccl(NCCL_RESULT.remoteError)), "exchange");
  assert.equal(blameOf(nccl(NCCL_RESULT.systemError)), "exchange");
  assert.equal(blameOf(nccl(NCCL_RESULT.internalError)), "exchange");
  assert.equal(blameOf(ncclTimeout("the sum", 1, 16)), "exchange");
  assert.equal(blameOf(nccl(NCCL_RESULT.unhandledCudaError)), "process");
  const exhausted = new EngineError("RESOURCE_EXHAUSTED", "cudaMalloc", "The GPU has no memory");
  const fallen = new EngineError("INTERNAL", "Conv2D", "CUDA_ERROR_LAUNCH_FAILED");
  const work = { kind: "training", device: GPU, rows: 8 } as const;
  for (const error of [exhausted, fallen]) {
    assert.equal(blameOf(error), "process");
    const explained = explainDeviceError(error, work);
    assert.ok(explained instanceof LockstepError);
    assert.equal(blameOf(explained), "process", explained.message);
  }
});

import assert from "node:assert/strict";
import { type ComputeDevice, CPU_DEVICE } from "../../src/base/compute_device.ts";
import { checkNccl } from "../../src/coordinator/preparation/check_nccl.ts";

/** A GPU, or an instance of one in MIG mode. */
function gpu(index: number, instance = 0): ComputeDevice {
  const uuid = `GPU-${index}-${instance}`;
  return { kind: "gpu", uuid, index, name: "NVIDIA A100", busId: `00000000:0${index}:00.0` };
}

Deno.test("exchange nccl is refused without GPUs, and where workers share one, with the cure", () => {
  const nccl = { exchange: "nccl" } as const;
  assert.throws(() => checkNccl(nccl, [CPU_DEVICE, CPU_DEVICE]), {
    name: "UsageError",
    message:
      "exchange is nccl, which sums on GPUs, but the workers compute on the CPU: set exchange to auto, or " +
      "device to gpu",
  });
  assert.throws(() => checkNccl(nccl, [gpu(0), gpu(3, 1), gpu(3, 2)]), {
    name: "UsageError",
    message:
      "exchange is nccl, but workers 1 and 2 share GPU 3, which NCCL refuses: set exchange to auto or " +
      "shared-memory, or workers to 2",
  });
  checkNccl(nccl, [gpu(0), gpu(1)]);
  for (const exchange of ["auto", "shared-memory", "nats"] as const) {
    checkNccl({ exchange }, [CPU_DEVICE, gpu(0), gpu(0)]);
  }
});

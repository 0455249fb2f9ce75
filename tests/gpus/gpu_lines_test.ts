import assert from "node:assert/strict";
import { describeGpu, describeMask } from "../../src/gpus/gpu_lines.ts";
import { visibleDevices } from "../../src/gpus/visible_devices.ts";
import { migGpu, someGpu, someGpus } from "./some_gpus.ts";

Deno.test("describeGpu() says what a GPU is, who uses it, and what keeps it from training", () => {
  const { line, problem } = describeGpu(
    someGpu(1, { processes: [{ pid: 7 }], computeMode: "Exclusive_Process" }),
    { node: 1, cpus: [4, 5] },
  );
  assert.match(
    line,
    /^GPU 1, NVIDIA A100-SXM4-40GB \(GPU-1.*\): compute capability 8\.0, driver 550\.54\.15, /,
  );
  assert.match(line, /compute mode Exclusive_Process, used by process 7, NUMA node 1 with 2 CPUs$/);
  assert.equal(problem, undefined);
  const holder = { pid: 70, run: "flowers", user: "ann", isOwn: true };
  const held = new Map([[someGpu(1).uuid, holder]]);
  assert.match(
    describeGpu(someGpu(1), undefined, held).line,
    /used by nobody, held by run flowers \(process 70 of ann\)$/,
  );
  const mig = migGpu(0, 1);
  const { uuid } = mig.migInstances[0]!;
  assert.ok(
    describeGpu(mig, undefined, new Map([[uuid, holder]])).line.includes(`${uuid} held by run fl`),
  );
  assert.match(describeGpu(migGpu(0, 0), undefined).problem!, /MIG mode without instances/);
  assert.match(describeGpu(someGpu(0, { driverVersion: "470.1" }), undefined).problem!, /too old/);
});

Deno.test("describeMask() says what CUDA_VISIBLE_DEVICES shows; nothing when it isn't set", () => {
  const gpus = someGpus(3);
  const shown = (mask: string | undefined) => describeMask(mask, visibleDevices(gpus, mask));
  assert.equal(shown(undefined), undefined);
  assert.equal(shown("2,0"), "CUDA_VISIBLE_DEVICES=2,0 shows GPU 2, GPU 0");
  assert.equal(shown(""), "CUDA_VISIBLE_DEVICES= shows no GPU");
  assert.match(
    shown("1,7")!,
    /shows GPU 1; "7" is no device of this machine and hides all after it$/,
  );
});

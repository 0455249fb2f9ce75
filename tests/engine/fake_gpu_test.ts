import assert from "node:assert/strict";
import { fakeGpuMachine, type FakeMachine } from "../support/fake_cuda/machine.ts";
import type { CudaRecord } from "../support/fake_cuda/record.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("fake_gpu_program.ts", import.meta.url).pathname;
const GPU = "/job:localhost/replica:0/task:0/device:GPU:0";

/** Calls without effect on what is computed, and settings of objects that the fake has no use for. */
const HARMLESS =
  /^__cuda(Unr|R)egister|VersionCheck$|^cu\w+Set|^cudnnDestroy|^cudnnBackendFinalize$/;

/** Nodes that begin and end a graph. */
const FRAME = new Set(["_Arg", "_Retval", "NoOp"]);

function start({ env }: FakeMachine, ...args: string[]) {
  return runDeno(["run", "-A", "--no-check", PROGRAM, ...args], { env });
}

fakeCudaTest("a step runs on the GPU it is given, every op of it, and on no other", async () => {
  await using machine = await fakeGpuMachine({ gpus: 4, zeroResults: true });
  const gpu = machine.gpus[2]!.uuid;
  const { code, stdout, stderr } = await start(machine, "steps", "plain_cnn", gpu);
  assert.equal(code, 0, stderr);
  const { counts, ops } = JSON.parse(stdout) as {
    counts: CudaRecord[];
    ops: Record<string, string[]>;
  };
  const elsewhere = Object.entries(ops).filter(([device]) => device !== GPU)
    .flatMap(([, names]) => names).filter((name) => !FRAME.has(name));
  assert.deepEqual(elsewhere, []);
  for (const op of ["Conv2D", "Conv2DBackpropFilter", "SoftmaxCrossEntropyWithLogits"]) {
    assert.ok(ops[GPU]!.includes(op), op);
  }
  const [record] = await machine.records();
  assert.deepEqual(record!.devices.map(({ uuid, hasContext }) => [uuid, hasContext]), [[
    gpu,
    true,
  ]]);
  assert.deepEqual(record!.errors, []);
  assert.deepEqual(Object.keys(record!.stubs).filter((name) => !HARMLESS.test(name)), []);
  const launches = counts.map(({ devices }) => devices[0]!.launches);
  assert.ok(launches[1]! - launches[0]! > 50);
  assert.equal(launches[2]! - launches[1]!, launches[1]! - launches[0]!, "steps are alike");
});

fakeCudaTest("the engine opens one of eight GPUs", async () => {
  await using machine = await fakeGpuMachine({ gpus: 8 });
  const { stdout, stderr } = await start(machine, "devices");
  assert.equal(stderr, "");
  assert.deepEqual(JSON.parse(stdout).filter((name: string) => name.includes("GPU")), [GPU]);
  const [{ devices }] = await machine.records() as [CudaRecord];
  assert.equal(devices.length, 8);
  assert.equal(devices.filter(({ hasContext }) => hasContext).length, 1);
});

fakeCudaTest("what is wrong with a driver or a library is said by name", async () => {
  const cases: [Parameters<typeof fakeGpuMachine>[0], RegExp][] = [
    [{ gpus: 0 }, /finds no GPU: look at nvidia-smi/],
    [{ without: ["libnvidia-ml.so.1"] }, /libnvidia-ml\.so\.1, .*NVIDIA_DRIVER_CAPABILITIES/],
    [{ without: ["libcusolver.so.11"] }, /doesn't load \(\S+libcusolver\.so\.11/],
    [{ without: ["libcuda.so.1"] }, /there is no NVIDIA driver \(libcuda\.so\.1/],
    [{ cudaVersion: 11040 }, /CUDA 11\.4\) is too old for NVIDIA A100/],
    [{ initError: 802 }, /Fabric Manager must run .*CUDA error 802/],
    [{ initError: 803 }, /of different versions.*CUDA error 803/],
    [{ initError: 999 }, /CUDA error 999, CUDA_ERROR_UNKNOWN, of cuInit/],
  ];
  const results = await Promise.all(cases.map(async ([options, message]) => {
    await using machine = await fakeGpuMachine(options);
    return { ...await start(machine, "devices"), message };
  }));
  for (const { code, stdout, stderr, message } of results) {
    assert.notEqual(code, 0, stdout);
    assert.match(stderr, message);
  }
});

fakeCudaTest(
  "a step fails where the GPU's memory is too small, or the GPU falls off the bus",
  async () => {
    const cases: [Parameters<typeof fakeGpuMachine>[0], RegExp][] = [
      [{ memoryMebibytes: 40 }, /Out of memory while trying to allocate/],
      [
        { lost: { gpu: 0, afterLaunches: 150 } },
        /CUDA_ERROR_DEVICE_UNAVAILABLE|46 vs\. 0|busy or unavailable/,
      ],
    ];
    await Promise.all(cases.map(async ([options, message]) => {
      await using machine = await fakeGpuMachine({ ...options, zeroResults: true });
      const { code, stdout, stderr } = await start(machine, "steps");
      assert.notEqual(code, 0, stdout);
      assert.match(stderr, message);
      const [record] = await machine.records();
      assert.equal(record!.devices[0]!.isLost, options?.lost !== undefined);
    }));
  },
);

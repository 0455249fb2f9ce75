import assert from "node:assert/strict";
import { join } from "node:path";
import { someGpu } from "../gpus/some_gpus.ts";
import {
  fakeGpuMachine,
  type FakeMachine,
  type FakeMachineOptions,
} from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("gpu_engine_program.ts", import.meta.url).pathname;

async function open(machine: FakeMachine, args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await runDeno(["run", "-A", "--no-check", PROGRAM, ...args], {
    env: { ...machine.env, LOCKSTEP_LIBTENSORFLOW: machine.libraryPath, ...env },
  });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "", "TensorFlow prints nothing");
  return JSON.parse(stdout);
}

fakeCudaTest(
  "openEngine() opens one GPU of two, or none at all, and reads views anew",
  async () => {
    await using machine = await fakeGpuMachine({ gpus: 2, memoryMebibytes: 4096 });
    const [gpu, cpu, hidden] = await Promise.all([
      open(machine, ["gpu", "0.25"]),
      open(machine, ["cpu"]),
      open(machine, ["auto"], { CUDA_VISIBLE_DEVICES: "" }),
    ]);
    assert.deepEqual(gpu.devices, ["CPU:0", "GPU:0"]);
    assert.equal(gpu.gpu, machine.gpus[0]!.name);
    assert.deepEqual(gpu.read, [3, 5], "an op of the GPU sees what has changed");
    assert.equal(gpu.memory.totalBytes, 4096 * 2 ** 20);
    assert.ok(gpu.memory.freeBytes > 3 * 2 ** 30, "memory is taken as it is needed");
    const root = join(machine.libraryPath, "..", "..");
    assert.equal(gpu.xlaFlags, `--xla_gpu_cuda_data_dir=${join(root, "nvidia", "cuda_nvcc")}`);
    assert.match(gpu.cache, /\/cuda-kernels\/libtensorflow-[\d.]+-cuda-12\.5$/);
    assert.ok((await Deno.stat(gpu.cache)).isDirectory);
    assert.equal(gpu.cacheBytes, String(2 ** 32));
    assert.deepEqual([cpu.devices, hidden.devices], [["CPU:0"], ["CPU:0"]]);
    const records = await machine.records();
    const contexts = records.map(({ devices }) => devices.filter((each) => each.hasContext).length);
    assert.equal(contexts.reduce((sum, each) => sum + each, 0), 1, "one process opened one GPU");
    assert.equal(records.filter(({ initCalls }) => initCalls > 0).length, 2, "not that of the CPU");
  },
);

fakeCudaTest(
  "what keeps a GPU from being opened is an error with its cure, never the CPU",
  async () => {
    const faults: [FakeMachineOptions, RegExp][] = [
      [{ without: ["libnvidia-ml.so.1"] }, /NVIDIA_DRIVER_CAPABILITIES=compute,utility/],
      [
        { without: ["libcusolver.so.11"] },
        /doesn't load \(\S+libcusolver\.so\.11: there is no such/,
      ],
      [{ initError: 802 }, /Fabric Manager must run/],
      [{ initError: 803 }, /different versions, .*: reboot/],
      [
        { gpus: [someGpu(0, { computeCapability: 9 })], cudaVersion: 12040 },
        /driver 550\.54\.15 \(CUDA 12\.4\) is too old for NVIDIA \S+: .* needs 555\.42\.02/,
      ],
    ];
    for (const [index, [options, message]] of faults.entries()) {
      await using machine = await fakeGpuMachine(options);
      const { error, devices } = await open(machine, [index % 2 === 0 ? "auto" : "gpu"]);
      assert.equal(devices, undefined, `${message}`);
      assert.match(error, message);
      assert.match(error, /, or set device to cpu/);
    }
  },
);

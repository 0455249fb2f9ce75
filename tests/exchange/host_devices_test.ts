import assert from "node:assert/strict";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("host_devices_program.ts", import.meta.url).pathname;

fakeCudaTest(
  "GPUs of several hosts sum by NCCL, and through the memory of their hosts",
  async () => {
    await using machine = await fakeGpuMachine({ gpus: 4, memoryMebibytes: 16_384 });
    const { code, stdout, stderr } = await runDeno(["test", "-A", "--no-check", PROGRAM], {
      env: { ...machine.env, FAKE_NVIDIA_FOLDER: machine.nvidiaFolder },
    });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /3 passed/);
  },
);

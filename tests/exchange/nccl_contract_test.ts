import assert from "node:assert/strict";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("nccl_contract_program.ts", import.meta.url).pathname;

fakeCudaTest(
  "NCCL passes the contract of an exchange, with whole sums and with buckets",
  async () => {
    await using machine = await fakeGpuMachine({
      gpus: 4,
      memoryMebibytes: 16_384,
      maxDelayMicros: 50,
    });
    const { code, stdout, stderr } = await runDeno(["test", "-A", "--no-check", PROGRAM], {
      env: { ...machine.env, FAKE_NVIDIA_FOLDER: machine.nvidiaFolder },
    });
    assert.equal(code, 0, stdout + stderr);
    const passed = Number(/ (\d+) passed/.exec(stdout)?.[1]);
    assert.ok(passed >= 44, stdout);
  },
);

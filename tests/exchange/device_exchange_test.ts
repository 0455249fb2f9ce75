import assert from "node:assert/strict";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const CONTRACT = new URL("device_contract_program.ts", import.meta.url).pathname;

fakeCudaTest(
  "exchanges of ranks on GPUs pass the contract, with the bits of the CPU's",
  async () => {
    await using machine = await fakeGpuMachine();
    const { code, stdout, stderr } = await runDeno(["test", "-A", "--no-check", CONTRACT], {
      env: machine.env,
    });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /ok \| \d{2} passed \| 0 failed/);
    const [record] = await machine.records();
    assert.deepEqual(record!.errors, []);
  },
);

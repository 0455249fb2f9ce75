import assert from "node:assert/strict";
import { fakeCudaProblem } from "../support/fake_cuda/build.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";

const problem = fakeCudaProblem();
if (problem !== undefined) console.log(`Tests with fake GPUs are left out: ${problem}`);

Deno.test({
  name: "a machine with four fake GPUs is set up, with an nvidia-smi and a driver that agree",
  ignore: problem !== undefined,
  fn: async () => {
    await using machine = await fakeGpuMachine({ gpus: 4 });
    const { stdout } = await new Deno.Command("nvidia-smi", {
      args: ["--query-gpu=uuid", "--format=csv,noheader"],
      env: machine.env,
    }).output();
    const listed = new TextDecoder().decode(stdout).trim().split("\n");
    assert.deepEqual(listed, machine.gpus.map(({ uuid }) => uuid));
  },
});

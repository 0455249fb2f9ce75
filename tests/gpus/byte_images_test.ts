import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { fakeCudaProblem } from "../support/fake_cuda/build.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { runDeno } from "../support/run_deno.ts";

const problem = fakeCudaProblem();
if (problem !== undefined) console.log(`Tests with fake GPUs are left out: ${problem}`);

const PROGRAM = fileURLToPath(new URL("../support/byte_images_program.ts", import.meta.url));
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** Copies of a process that finishes some batches so many times. */
async function copiesOf(times: number) {
  await using machine = await fakeGpuMachine();
  const args = ["run", "-A", "--no-check", "--config", CONFIG, PROGRAM, machine.libraryPath];
  const { code, stdout, stderr } = await runDeno([...args, String(times)], { env: machine.env });
  assert.equal(code, 0, stderr);
  const [{ devices: [device] }] = await machine.records();
  return { device, ...JSON.parse(stdout) as { hasGpu: boolean; batches: number; bytes: number } };
}

Deno.test({
  name:
    "batches of bytes go up to a GPU once, with less than 100 bytes of numbers, and nothing comes down",
  ignore: problem !== undefined,
  fn: async () => {
    const [few, many] = [await copiesOf(1), await copiesOf(6)];
    const { batches, bytes, device } = many;
    const more = (name: keyof typeof device) => Number(device[name]) - Number(few.device[name]);
    assert.ok(many.hasGpu && more("launches") > 5 * 9 * batches, "the GPU does the work");
    assert.equal(more("copiesUp"), 5 * 2 * batches);
    const numbers = more("bytesUp") - 5 * bytes;
    assert.ok(numbers > 0 && numbers < 5 * 100 * batches, `${numbers} bytes of numbers`);
    assert.deepEqual([more("copiesDown"), more("bytesDown")], [0, 0]);
  },
});

import assert from "node:assert/strict";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("cuda_memory_program.ts", import.meta.url).pathname;
const GPU = "/job:localhost/replica:0/task:0/device:GPU:0";

async function run(task: string, options: FakeMachineOptions = {}) {
  await using machine = await fakeGpuMachine(options);
  const { code, stdout, stderr } = await runDeno(["run", "-A", "--no-check", PROGRAM, task], {
    env: machine.env,
  });
  assert.equal(code, 0, stderr);
  return { found: JSON.parse(stdout), record: (await machine.records())[0]! };
}

fakeCudaTest("memory of the GPU keeps what is copied in, and tensors look at it", async () => {
  const { found, record } = await run("memory");
  assert.deepEqual(found, {
    hasGpu: true,
    host: true,
    isZero: true,
    isBack: true,
    first: [17, 18, 19, 20],
    second: [18, 19, 20, 21],
    asDisposed: [18, 19, 20, 21],
    areSame: true,
    outside: `${4 * 4096} bytes at 64 aren't within ${4 * 4096} bytes of the GPU`,
    ticks: found.ticks,
  });
  assert.ok(found.ticks > 0, "JavaScript went on while tensors were read");
  assert.deepEqual(record.errors, []);
});

fakeCudaTest("copies of two streams keep their order by events, and are waited for", async () => {
  const { found, record } = await run("copies", { maxDelayMicros: 2000 });
  assert.deepEqual(found.wrong, []);
  assert.ok(found.isEarly, "a copy takes time");
  assert.deepEqual(
    record.errors.filter(({ code }) => code === 201),
    [],
    "no thread lacks a context",
  );
});

fakeCudaTest("InplaceUpdate and InplaceAdd write into our memory on the GPU", async () => {
  const { found, record } = await run("inPlace");
  const none = { copiesUp: 0, bytesUp: 0, copiesDown: 0, bytesDown: 0 };
  assert.deepEqual(found.devices, { InplaceUpdate: GPU, InplaceAdd: GPU });
  for (const key of ["InplaceUpdate", "InplaceAdd", "captured"]) {
    assert.ok(found[key].bytesUp <= 16, key);
    assert.deepEqual({ ...found[key], bytesUp: 0, copiesUp: 0 }, none, key);
  }
  assert.deepEqual(found.read, { ...none, copiesDown: 1, bytesDown: 4 });
  assert.equal(found.launches, 5, "a product, two writes, two sums");
  assert.ok(found.isAlias);
  assert.deepEqual(record.errors, []);
});

fakeCudaTest("what CUDA refuses is said in a sentence, and isn't TensorFlow's error", async () => {
  const [{ found }, lost] = await Promise.all([
    run("errors"),
    run("lost", { lost: { gpu: 0, afterLaunches: 3 }, zeroResults: true }),
  ]);
  assert.match(found.twice, /^INTERNAL: .*CUDA error 712.*, of cudaHostRegister\)/);
  assert.match(found.tooLarge, /^RESOURCE_EXHAUSTED: The GPU has no \d+ bytes of memory left/);
  assert.match(found.unaligned, /can't look at address 4: it needs a multiple of 64/);
  assert.equal(found.after, undefined);
  assert.match(lost.found.tensorflow, /CUDA_ERROR_DEVICE_UNAVAILABLE/);
  assert.match(lost.found.own, /CUDA error 46, CUDA_ERROR_DEVICE_UNAVAILABLE, of cuda\w+\)$/);
});

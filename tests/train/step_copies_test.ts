import assert from "node:assert/strict";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import type { Copies } from "../support/fake_cuda/record.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("step_copies_program.ts", import.meta.url).pathname;

/** Bytes beside the batch that a step may copy up, and bytes that it may copy down. */
const MAX_OTHERS = 4096;

async function stepsOf(model: string, rows: number, microBatchSize: number) {
  await using machine = await fakeGpuMachine({ gpus: 1, zeroResults: true });
  const args = ["run", "-A", "--no-check", PROGRAM, model, `${rows}`, `${microBatchSize}`];
  const { code, stdout, stderr } = await runDeno(args, { env: machine.env });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as {
    batchBytes: number;
    parameterBytes: number;
    steps: Copies[];
    digest: Copies;
    origin: { at: string };
  };
}

/** The last results of a pass are its loss and its right ones, and one number more is read of a step. */
const RECORD_BYTES = (passes: number) => 4 * (1 + 2 * passes);

// 8 images of 32 × 32 pixels are 24,616 bytes; plain_cnn's parameters are 95,168.
const TABLE = [
  { microBatchSize: 8, passes: 1 },
  { microBatchSize: 2, passes: 4 },
];

fakeCudaTest(
  "a step of a GPU copies its batch up and a record down, also in 4 micro-batches: no gradients, no parameters, nor for their digest",
  async () => {
    for (const { microBatchSize, passes } of TABLE) {
      const { batchBytes, parameterBytes, steps, digest, origin } = await stepsOf(
        "plain_cnn",
        8,
        microBatchSize,
      );
      assert.ok(parameterBytes > 10 * MAX_OTHERS, "what would be noticed");
      const [, second, ...others] = steps;
      for (const step of others) assert.deepEqual(step, second, "steps are alike");
      const { bytesUp, copiesDown, bytesDown } = second!;
      const label = `${passes} passes: ${JSON.stringify(second)}`;
      assert.ok(bytesUp >= batchBytes && bytesUp <= batchBytes + MAX_OTHERS, label);
      assert.equal(copiesDown, 1, label);
      assert.ok(bytesDown <= RECORD_BYTES(passes), label);
      // The parameters stay where they are when replicas are compared, too: their sums come down.
      const sums = JSON.stringify(digest);
      assert.equal(origin.at, passes === 1 ? "nowhere" : "microBatches", "the fake gives zeros");
      assert.ok(digest.copiesDown === 1 && digest.bytesDown <= 256 && digest.bytesUp <= 256, sums);
    }
  },
);

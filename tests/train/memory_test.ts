import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel } from "../../src/models/create_model.ts";
import { Replica } from "../../src/train/replica.ts";

const { runtime } = await openEngine({ threads: { intraOp: 1, interOp: 1 } });

/** Steps between which memory is compared: by the first one, the garbage collector has been round. */
const [FIRST, LAST] = [350, 550];

/** Bytes that a process may gain over the steps: the garbage collector's business, not a leak's. */
const SLACK = 12e6;

Deno.test("200 steps leave memory and native tensors as they were before them", async () => {
  const model = createModel("plain_cnn", { numClasses: 3, seed: 1 });
  using replica = new Replica(model, {
    optimizer: {
      settings: { optimizer: "sgd", momentum: 0.9, dampening: 0, weightDecay: 0, nesterov: false },
      lr: 0.01,
    },
    capture: true,
  });
  const [rows, side] = [8, 48];
  const images = Float32Array.from({ length: rows * side * side * 3 }, (_, i) => Math.sin(i));
  const labels = Int32Array.from({ length: rows }, (_, index) => index % 3);
  const batch = { images, labels, height: side, width: side };
  const seen: { bytes: number; tensors: number }[] = [];
  for (let step = 1; step <= LAST; step++) {
    await replica.forwardBackward(batch, { seed: [1, step], globalRows: rows, rowOffset: 0 });
    await replica.step({ rates: [0.01], step, squares: 0 });
    if (step === FIRST || step === LAST) {
      seen.push({ bytes: Deno.memoryUsage().rss, tensors: runtime.tensorCount });
    }
  }
  const [before, after] = seen;
  assert.equal(after.tensors, before.tensors);
  // The images of a step alone are 0.2 MB: those of 200 steps would be 44 MB.
  const gained = after.bytes - before.bytes;
  assert.ok(gained < SLACK, `the process has gained ${(gained / 1e6).toFixed(1)} MB`);
});

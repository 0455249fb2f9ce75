import assert from "node:assert/strict";
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import { floatsOf } from "../../src/base/float_range.ts";
import { hostMemory, hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { layOut } from "../../src/optim/flat_layout.ts";
import { BoundVariables } from "../../src/train/bound_variables.ts";

await openEngine();

Deno.test("BoundVariables has the values of the region, whoever writes them, and takes in what is assigned", () => {
  const variables = [[1, 2], [3, 4, 5]].map((values) => tf.variable(tf.tensor1d(values)));
  const layout = layOut([2, 3]);
  const region = hostMemory(alignedBytes(4 * layout.floats));
  const values = floatsOf(hostOf(region));
  using bound = new BoundVariables(variables, layout, region);
  assert.equal(bound.collect(), true);
  assert.deepEqual([...values.subarray(0, 2), ...values.subarray(16, 19)], [1, 2, 3, 4, 5]);
  assert.equal(bound.collect(), false, "nothing was assigned since");

  values.set([10, 20], 0); // as another rank does in shared memory
  assert.deepEqual([...variables[0].dataSync()], [10, 20]);
  variables[1].assign(tf.tensor1d([7, 8, 9]));
  assert.deepEqual([...values.subarray(16, 19)], [3, 4, 5], "not before it is collected");
  assert.equal(bound.collect(), true);
  assert.deepEqual([...values.subarray(16, 19)], [7, 8, 9]);

  variables[0].assign(tf.tensor1d([0, 0]));
  bound.bind(); // the region counts, not what was assigned
  assert.deepEqual([...variables[0].dataSync()], [10, 20]);
  tf.dispose(variables);
});

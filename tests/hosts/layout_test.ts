import assert from "node:assert/strict";
import { checkLayout, layoutOf } from "../../src/hosts/layout.ts";

Deno.test("layoutOf() spreads workers evenly, the first hosts with one more, or as they are given", () => {
  assert.deepEqual(layoutOf({ count: 1 }, 4), [4]);
  assert.deepEqual(layoutOf({ count: 2 }, 4), [2, 2]);
  assert.deepEqual(layoutOf({ count: 3 }, 8), [3, 3, 2]);
  assert.deepEqual(layoutOf({ count: 3, workers: [0, 4, 1] }, undefined), [0, 4, 1]);
  assert.deepEqual(layoutOf({ count: 2, workers: [1, 2] }, 3), [1, 2]);
});

Deno.test("checkLayout() refuses wishes that contradict each other, with the remedy", () => {
  const refuses = (...[wishes, total, message]: [...Parameters<typeof checkLayout>, RegExp]) =>
    assert.throws(() => checkLayout(wishes, total), { name: "UsageError", message });
  refuses({ count: 3 }, 2, /^workers is 2, fewer than the 3 hosts: give .* such as \[0, 1, 1\]$/);
  refuses({ count: 3, workers: [1, 1] }, undefined, /^hosts\.workers has 2 numbers \(\[1, 1\]\)/);
  refuses({ count: 1, workers: [1, 1] }, undefined, /and hosts\.count is 1: give each host's/);
  refuses({ count: 2, workers: [1, 1] }, 3, /^workers is 3, and hosts\.workers has 2 together/);
  refuses({ count: 2, workers: [2, 0] }, undefined, /gives host 1 no workers: only host 0/);
  refuses({ count: 1, workers: [0] }, undefined, /so nobody computes/);
  for (const workers of [undefined, [0, 2, 1]]) checkLayout({ count: 3, workers }, 3);
  checkLayout({ count: 3 }, undefined);
});

Deno.test("layoutOf() needs a worker for each host", () => {
  assert.throws(() => layoutOf({ count: 3 }, 2), { name: "UsageError", message: /fewer than/ });
});

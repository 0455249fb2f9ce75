import assert from "node:assert/strict";
import {
  randomNormal,
  randomPermutation,
  randomSeed,
  randomStream,
} from "../../src/base/random.ts";

Deno.test("randomStream() gives the same numbers for the same keys, others for other keys", () => {
  const take = (...keys: (number | string)[]) => Array.from({ length: 8 }, randomStream(...keys));
  assert.deepEqual(take(1, "augment", 2, 3), take(1, "augment", 2, 3));
  const variants = [[1, "augment", 3, 2], [2, "augment", 2, 3], [1, "shuffle", 2, 3], [
    1,
    "augment",
    2,
  ]];
  for (const keys of variants) assert.notDeepEqual(take(...keys), take(1, "augment", 2, 3));
});

Deno.test("randomStream() is uniform in [0, 1), also over neighbouring keys", () => {
  const bins = new Uint32Array(10);
  for (let key = 0; key < 20_000; key++) bins[Math.floor(randomStream(7, key)() * 10)]++;
  for (const count of bins) assert.ok(Math.abs(count - 2000) < 250, `bin of ${count}`);
});

Deno.test("randomNormal() has mean 0 and variance 1", () => {
  const next = randomStream(3);
  const draws = Array.from({ length: 20_000 }, () => randomNormal(next));
  const mean = draws.reduce((a, b) => a + b) / draws.length;
  const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.05, `${mean} ${variance}`);
});

Deno.test("randomPermutation() holds each index once, at no fixed place", () => {
  const order = randomPermutation(randomStream(5), 1000);
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  assert.ok(order.filter((value, index) => value === index).length < 10);
});

Deno.test("randomSeed() is a 32-bit integer that depends on its keys", () => {
  assert.ok(Number.isInteger(randomSeed(1)));
  assert.notEqual(randomSeed(1), randomSeed(2));
});

import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { gradientFloats, loneBuffers, ownBuffers } from "../../src/exchange/step_buffers.ts";

await openEngine();

const SHAPE = { rank: 1, worldSize: 3, vectorBytes: 400, regions: 2 };

Deno.test("ownBuffers() gives a rank the whole sum in aligned memory apart from its vector", () => {
  const { vector, reduced, regions, shard, peers } = ownBuffers(SHAPE);
  const all = [vector, reduced, ...regions.flatMap(({ current, next }) => [current, next])];
  assert.equal(new Set(all.map((memory) => hostOf(memory).buffer)).size, 6);
  for (const { byteLength, address } of all) {
    assert.equal(byteLength, 400);
    assert.equal(address % 64n, 0n);
  }
  assert.deepEqual([shard, peers], [{ begin: 0, end: 100 }, undefined]);
  const direct = ownBuffers({ ...SHAPE, sumInRegion: true });
  assert.equal(direct.reduced, direct.regions[0].current);
});

Deno.test("loneBuffers() sums in place: a replica that is alone has its own gradients", () => {
  const { vector, reduced, regions, shard } = loneBuffers(64, 1);
  assert.equal(reduced, vector);
  assert.deepEqual([regions.length, regions[0].byteLength, shard], [1, 64, { begin: 0, end: 16 }]);
});

Deno.test("gradientFloats() is where the running statistics begin", () => {
  assert.equal(gradientFloats(SHAPE), 100);
  assert.equal(gradientFloats({ ...SHAPE, wire: { dtype: "float16", gradientBytes: 40 } }), 10);
});

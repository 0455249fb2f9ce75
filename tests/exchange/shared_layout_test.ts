import assert from "node:assert/strict";
import { segmentBytes, viewsOf } from "../../src/exchange/shared_layout.ts";

Deno.test("a segment has a slot at a page for each rank and region, and no two overlap", () => {
  const shape = { worldSize: 3, vectorBytes: 5000, regions: 2 };
  assert.equal(segmentBytes(shape), 5 * 8192);
  const { vectors, regions } = viewsOf(new Uint8Array(segmentBytes(shape)), shape);
  const all = [...vectors, ...regions];
  assert.deepEqual(all.map(({ byteOffset }) => byteOffset), [0, 8192, 16384, 24576, 32768]);
  assert.deepEqual(all.map(({ length }) => length), Array(5).fill(5000));
  assert.deepEqual([vectors.length, regions.length], [3, 2]);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 4096 }), 5 * 4096);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 0 }), 0);
});

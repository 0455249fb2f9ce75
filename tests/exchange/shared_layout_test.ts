import assert from "node:assert/strict";
import { meetingBytes } from "../../src/exchange/meeting.ts";
import { segmentBytes, viewsOf } from "../../src/exchange/shared_layout.ts";

Deno.test("a segment has the meeting place and a slot at a page for each rank and region, and no two overlap", () => {
  const shape = { worldSize: 3, vectorBytes: 5000, regions: 2 };
  const begin = meetingBytes(3);
  assert.equal(begin % 4096, 0);
  assert.equal(segmentBytes(shape), begin + 5 * 8192);
  const { meeting, vectors, regions } = viewsOf(new Uint8Array(segmentBytes(shape)), shape);
  assert.deepEqual([meeting.byteOffset, meeting.length], [0, begin]);
  const all = [...vectors, ...regions];
  assert.deepEqual(
    all.map(({ byteOffset }) => byteOffset - begin),
    [0, 8192, 16384, 24576, 32768],
  );
  assert.deepEqual(all.map(({ length }) => length), Array(5).fill(5000));
  assert.deepEqual([vectors.length, regions.length], [3, 2]);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 4096 }), begin + 5 * 4096);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 0 }), begin);
});

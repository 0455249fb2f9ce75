import assert from "node:assert/strict";
import { meetingBytes } from "../../src/exchange/meeting.ts";
import { segmentBytes, sumsWhole, viewsOf } from "../../src/exchange/shared_layout.ts";

Deno.test("a segment has the meeting place and a slot at a page for each rank and each version of a region, and no two overlap", () => {
  const shape = { worldSize: 3, vectorBytes: 5000, regions: 2, maxWholeBytes: 0 };
  const begin = meetingBytes(3);
  assert.equal(begin % 4096, 0);
  assert.equal(segmentBytes(shape), begin + 7 * 8192);
  const { meeting, slots, regions } = viewsOf(new Uint8Array(segmentBytes(shape)), shape);
  assert.deepEqual([meeting.byteOffset, meeting.length], [0, begin]);
  const all = [...slots.flat(), ...regions.flat()];
  assert.deepEqual(
    all.map(({ byteOffset }) => byteOffset - begin),
    [0, 8192, 16384, 24576, 32768, 40960, 49152],
  );
  assert.deepEqual(all.map(({ length }) => length), Array(7).fill(5000));
  assert.deepEqual([slots.length, slots[0].length, regions.length], [1, 3, 2]);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 4096 }), begin + 7 * 4096);
  assert.equal(segmentBytes({ ...shape, vectorBytes: 0 }), begin);
});

Deno.test("short vectors have two slots for each rank, and no regions", () => {
  const shape = { worldSize: 3, vectorBytes: 5000, regions: 2 };
  assert.equal(segmentBytes(shape), meetingBytes(3) + 7 * 8192);
  const { slots, regions } = viewsOf(new Uint8Array(segmentBytes(shape)), shape);
  assert.deepEqual(
    slots.map((set) => set.map(({ byteOffset }) => byteOffset - meetingBytes(3))),
    [[0, 8192, 16384], [24576, 32768, 40960]],
  );
  assert.deepEqual(regions, []);
});

Deno.test("vectors of 1 MiB over all ranks are short, unless there is one rank", () => {
  const isShort = (worldSize: number, vectorBytes: number) =>
    sumsWhole({ worldSize, vectorBytes, regions: 1 });
  assert.ok(isShort(2, 2 ** 19) && isShort(32, 2 ** 15));
  assert.ok(!isShort(2, 2 ** 19 + 4) && !isShort(32, 2 ** 15 + 4) && !isShort(1, 4));
});

Deno.test("a segment of long vectors has room for those of any shorter length", () => {
  for (const worldSize of [1, 2, 3, 32]) {
    const largest = segmentBytes({
      worldSize,
      vectorBytes: 2 ** 20 / worldSize + 4096,
      regions: 1,
    });
    for (let vectorBytes = 0; vectorBytes <= 2 ** 20 / worldSize + 4096; vectorBytes += 4096) {
      const shape = { worldSize, vectorBytes, regions: 1 };
      const { slots, regions } = viewsOf(new Uint8Array(largest), shape);
      for (const { length } of [...slots.flat(), ...regions.flat()]) {
        assert.equal(length, vectorBytes);
      }
    }
  }
});

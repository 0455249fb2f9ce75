import assert from "node:assert/strict";
import fc from "fast-check";
import { planChunks } from "../../src/exchange/chunks.ts";

const MIB = 1024 * 1024;

Deno.test("planChunks() covers every value once, from the end of the vector to its beginning", () => {
  const shapes = fc.record({
    floats: fc.integer({ min: 0, max: 3_000_000 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    dtype: fc.constantFrom("float32", "float16", "bfloat16"),
    payload: fc.integer({ min: 64, max: 2 * MIB }),
    worldSize: fc.integer({ min: 1, max: 64 }),
  });
  fc.assert(fc.property(shapes, ({ floats, share, dtype, payload, worldSize }) => {
    const gradients = Math.floor(share * floats);
    const wire = { dtype, gradientBytes: 4 * gradients } as const;
    const plan = planChunks(4 * floats, worldSize, payload, wire);
    let end = floats;
    for (const chunk of plan.chunks) {
      assert.equal(chunk.begin + chunk.floats, end, "no gap and no overlap");
      end = chunk.begin;
      const isNarrow = dtype !== "float32" && chunk.begin < gradients;
      assert.equal(chunk.dtype, isNarrow ? dtype : "float32");
      if (isNarrow) assert.ok(chunk.begin + chunk.floats <= gradients, "of one dtype");
      assert.equal(chunk.bytes, chunk.floats * (isNarrow ? 2 : 4));
      assert.ok(chunk.bytes <= Math.min(MIB, payload) && chunk.floats > 0);
      assert.ok(4 * chunk.floats <= plan.floatBytes);
    }
    assert.equal(end, 0);
    assert.ok(plan.window >= 2);
    assert.ok(
      worldSize * plan.window * plan.chunkBytes <= 32 * MIB + 2 * worldSize * plan.chunkBytes,
    );
  }));
});

Deno.test("planChunks() cuts at the edges of a chunk, and plans nothing for an empty vector", () => {
  const sizes = (floats: number) =>
    planChunks(4 * floats, 2, MIB).chunks.map(({ begin, floats }) => [begin, floats]);
  assert.deepEqual(sizes(0), []);
  assert.deepEqual(sizes(1), [[0, 1]]);
  assert.deepEqual(sizes(262_144), [[0, 262_144]]);
  assert.deepEqual(sizes(262_145), [[262_144, 1], [0, 262_144]]);
});

Deno.test("planChunks() refuses lengths that hold no float32 values, and a server that takes none", () => {
  assert.throws(() => planChunks(6, 1, MIB), /6 bytes doesn't hold float32 values/);
  assert.throws(() => planChunks(-4, 1, MIB), RangeError);
  assert.throws(() => planChunks(4, 1, 3), /Messages with 3 bytes of payload are too small/);
  const wire = { dtype: "float16", gradientBytes: 8 } as const;
  assert.throws(() => planChunks(4, 1, MIB, wire), /8 bytes of gradients in a vector of 4 bytes/);
});

import assert from "node:assert/strict";
import { benchAllReduce, busBandwidth } from "../../src/bench/all_reduce.ts";
import { boundMilliseconds } from "../../src/bench/cost_bound.ts";
import { checkMean, fillRankVector } from "../../src/bench/time_all_reduce.ts";

/** The mean over the ranks, added here. */
function meanVector(worldSize: number, bytes: number): Uint8Array {
  const vectors = Array.from(
    { length: worldSize },
    (_, rank) =>
      new Float32Array(fillRankVector(new Uint8Array(bytes), rank).buffer as ArrayBuffer),
  );
  const mean = vectors[0].map((_, index) =>
    vectors.reduce((sum, vector) => sum + vector[index], 0) / worldSize
  );
  return new Uint8Array(mean.buffer);
}

Deno.test("checkMean() accepts the mean of the ranks' vectors", () => {
  assert.equal(checkMean(meanVector(3, 80_000), 0, 3), 0);
});

Deno.test("checkMean() names the first value that is wrong", () => {
  const sum = meanVector(2, 80_000);
  new Float32Array(sum.buffer as ArrayBuffer)[12_345] *= 1.001;
  assert.throws(() => checkMean(sum, 1, 2), /Rank 1 got a wrong sum: value 12345 of 20000 is/);
  // What one rank brought is not what both together have.
  assert.throws(
    () => checkMean(fillRankVector(new Uint8Array(80_000), 0), 0, 2),
    /wrong sum: value 0 /,
  );
  new Float32Array(sum.buffer as ArrayBuffer)[0] = NaN;
  assert.throws(() => checkMean(sum, 0, 2), /value 0 of 20000 is NaN/);
});

Deno.test("checkMean() lets through what the dtype rounds, and no more", () => {
  for (const [dtype, off] of [["float16", 9e-4], ["bfloat16", 7e-3]] as const) {
    const sum = meanVector(2, 80_000);
    const values = new Float32Array(sum.buffer as ArrayBuffer);
    values[19_999] *= 1 + off;
    assert.ok(checkMean(sum, 0, 2, dtype) > 0.9 * off);
    assert.throws(() => checkMean(sum, 0, 2), /wrong sum: value 19999 /);
    values[19_999] *= 1.01;
    assert.throws(() => checkMean(sum, 0, 2, dtype), /wrong sum: value 19999 /);
  }
});

const KINDS = [
  { exchange: "shared-memory", dtype: "float32", least: 0, most: 1e-6 },
  { exchange: "nats", dtype: "float32", least: 0, most: 1e-6 },
  { exchange: "nats", dtype: "float16", least: 1e-4, most: 2 ** -10 },
  { exchange: "nats", dtype: "bfloat16", least: 1e-3, most: 2 ** -7 },
] as const;
for (const { exchange, dtype, least, most } of KINDS) {
  Deno.test(`benchAllReduce() sums 1 MB over 2 workers rightly with ${exchange}, ${dtype}`, async () => {
    const result = await benchAllReduce({
      workers: [2],
      sizes: [40_000, 1e6, 80_000],
      steps: 3,
      warmup: 1,
      threads: 1,
      exchange,
      dtype,
    });
    assert.equal(result.kind, "allreduce");
    assert.deepEqual([result.exchange, result.dtype], [exchange, dtype]);
    assert.deepEqual(
      result.points.map(({ workers, bytes }) => [workers, bytes]),
      [[2, 40_000], [2, 1e6], [2, 80_000]],
    );
    for (const point of result.points) {
      const { bytes, workers, milliseconds, algorithmGBps, busGBps } = point;
      assert.ok(milliseconds > 0);
      assert.ok(point.minMilliseconds <= milliseconds && milliseconds <= point.maxMilliseconds);
      assert.equal(algorithmGBps, bytes / (milliseconds * 1e6));
      assert.equal(busGBps, algorithmGBps * 2 * (workers - 1) / workers);
      assert.ok(point.memcpyGBps > 0 && point.memcpyTogetherGBps > 0 && point.copies > 0);
      const copyTogether = bytes / (point.memcpyTogetherGBps * 1e6);
      const bound = boundMilliseconds(copyTogether, workers);
      assert.ok(Math.abs(point.timesBound * bound / milliseconds - 1) < 1e-9);
      // The ranks compared each value with the mean themselves; more than rounding would have thrown.
      const { maxError } = point;
      assert.ok(maxError >= least && maxError <= most, `the sums are off by ${maxError}`);
    }
  });
}

Deno.test("benchAllReduce() refuses vectors that don't fit into memory", async () => {
  await assert.rejects(
    benchAllReduce({ workers: [1000], sizes: [64e9], steps: 1, warmup: 0, threads: 1 }),
    /1000 workers with vectors of 64 GB need about 192000 GB of memory/,
  );
});

Deno.test("busBandwidth() is nccl-tests': 2(n − 1)/n of the algorithm's", () => {
  assert.equal(busBandwidth(8, 1), 0);
  assert.equal(busBandwidth(8, 2), 8);
  assert.equal(busBandwidth(8, 4), 12);
});

Deno.test("boundMilliseconds() counts what each rank reads and writes: of two, 1.5 of a copy's 2 bytes", () => {
  assert.equal(boundMilliseconds(8, 1), 8);
  assert.equal(boundMilliseconds(8, 2), 6);
  assert.equal(boundMilliseconds(8, 4), 5);
});

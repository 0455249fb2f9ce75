import assert from "node:assert/strict";
import { allFinite, weightedSum } from "../../src/exchange/weighted_sum.ts";
import { randomStream } from "../../src/base/random.ts";

const LENGTH = 40_000; // more than two blocks

function vectorOf(seed: number): Float32Array {
  const next = randomStream(seed, "weighted sum");
  return Float32Array.from({ length: LENGTH }, () => (next() - 0.5) * 10 ** (10 * next() - 5));
}

Deno.test("weightedSum() adds float32 products in the order given", () => {
  const vectors = [1, 2, 3].map(vectorOf);
  const weights = [0.5, 0.3, 0.2];
  const target = new Float32Array(LENGTH);
  weightedSum(target, vectors, weights);
  const expected = new Float32Array(LENGTH);
  for (let i = 0; i < LENGTH; i++) {
    let sum = Math.fround(Math.fround(weights[0]) * vectors[0][i]);
    for (let r = 1; r < 3; r++) {
      sum = Math.fround(sum + Math.fround(Math.fround(weights[r]) * vectors[r][i]));
    }
    expected[i] = sum;
  }
  assert.deepEqual(target, expected);
  weightedSum(target, vectors.toReversed(), weights.toReversed());
  assert.notDeepEqual(target, expected, "the order matters, or this test proves nothing");
});

Deno.test("weightedSum() takes any length, and says whether the sum is finite", () => {
  const vectors = [1, 2].map(vectorOf);
  const weights = [0.25, 0.75];
  const whole = new Float32Array(LENGTH);
  assert.equal(weightedSum(whole, vectors, weights), true);
  for (const length of [0, 1, 3, 4, 5, 8191, 8192, 8193, 24_577]) {
    const parts = vectors.map((vector) => vector.slice(0, length));
    const target = new Float32Array(length);
    assert.equal(weightedSum(target, parts, weights), true);
    assert.deepEqual(target, whole.subarray(0, length));
    for (const at of [0, length - 1, length >> 1]) {
      if (length === 0) continue;
      const [clean, spoilt] = [parts[0], parts[1].with(at, NaN)];
      assert.equal(weightedSum(target, [clean, spoilt], weights), false, `${at} of ${length}`);
      assert.equal(weightedSum(target, [spoilt], [1]), false);
      assert.equal(weightedSum(target, [clean], [1]), true, "nothing stays from the call before");
    }
  }
  const large = new Float32Array(5).fill(3e38);
  assert.equal(weightedSum(new Float32Array(5), [large, large], [1, 1]), false, "3e38 + 3e38");
});

Deno.test("weightedSum() keeps the bits of a single vector, also NaN's payload and -0", () => {
  const bits = new Uint32Array([0x7fc12345, 0x80000000, 0x00000001, 0x3f800000]);
  const target = new Float32Array(4);
  weightedSum(target, [new Float32Array(bits.buffer)], [1]);
  assert.deepEqual(new Uint32Array(target.buffer), bits);
});

Deno.test("weightedSum() of nothing is zero", () => {
  const target = new Float32Array(3).fill(7);
  weightedSum(target, [], []);
  assert.deepEqual(target, new Float32Array(3));
});

Deno.test("allFinite() finds NaN and both infinities anywhere, and nothing else", () => {
  const extremes = [0, -0, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1, 1];
  assert.equal(allFinite(Float32Array.from(extremes)), true);
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (let at = 0; at <= extremes.length; at++) {
      assert.equal(allFinite(Float32Array.from(extremes.toSpliced(at, 0, bad))), false);
    }
  }
});

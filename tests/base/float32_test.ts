import assert from "node:assert/strict";
import {
  findNonFinite,
  float32,
  float32Problem,
  MAX_FLOAT32,
  MIN_FLOAT32,
  shareBelow1,
} from "../../src/base/float32.ts";

Deno.test("float32Problem() names what float32 can't hold", () => {
  for (const fine of [0, -0, 1, -MAX_FLOAT32, MIN_FLOAT32, 0.1]) {
    assert.equal(float32Problem(fine), undefined);
  }
  assert.match(float32Problem(NaN)!, /^not a finite number/);
  assert.match(float32Problem(1e39)!, /^infinite in float32/);
  assert.match(float32Problem(1e-39)!, /^0 in float32/);
});

Deno.test("float32() and shareBelow1() are schemas of it", () => {
  assert.equal(float32().safeParse(0.1).success, true);
  assert.equal(float32().safeParse(1e39).success, false);
  assert.equal(shareBelow1().safeParse(0.9999999).success, true);
  for (const bad of [1, 0.99999999, -0.1]) {
    assert.equal(shareBelow1().safeParse(bad).success, false, String(bad));
  }
});

Deno.test("findNonFinite() finds the first NaN or infinity", () => {
  assert.equal(findNonFinite(Float32Array.of(1, -0, MAX_FLOAT32)), -1);
  assert.equal(findNonFinite(Float32Array.of(1, Infinity, NaN)), 1);
  assert.equal(findNonFinite(Float32Array.of(NaN)), 0);
  assert.equal(findNonFinite(new Float32Array()), -1);
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { narrow, type NarrowDtype, ROUNDING, widen } from "../../src/exchange/narrow.ts";

const DTYPES: readonly NarrowDtype[] = ["float16", "bfloat16"];

/** All 65,536 patterns of 16 bits. */
const ALL_BITS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

function narrowed(values: Float32Array, dtype: NarrowDtype): Uint16Array {
  const target = new Uint8Array(2 * values.length);
  narrow(target, values, dtype);
  return new Uint16Array(target.buffer);
}

function widened(bits: Uint16Array, dtype: NarrowDtype): Float32Array {
  const values = new Float32Array(bits.length);
  widen(values, new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), dtype);
  return values;
}

/** The value of a pattern, from the definition of the formats. */
function valueOf(bits: number, dtype: NarrowDtype): number {
  const fractionBits = dtype === "float16" ? 10 : 7;
  const bias = dtype === "float16" ? 15 : 127;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & ((1 << fractionBits) - 1)) / 2 ** fractionBits;
  if (exponent === 2 * bias + 1) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - bias) : fraction * 2 ** (1 - bias));
}

/** V8's own rounding to float16; for bfloat16, the nearer of the two neighbours, or the even one, in doubles. */
function roundedByOracle(value: number, dtype: NarrowDtype): number {
  if (dtype === "float16") return Math.f16round(value);
  if (!Number.isFinite(value) || value === 0) return value;
  const magnitude = Math.abs(value);
  const exponent = Math.max(-126, Math.floor(Math.log2(magnitude)));
  const unit = 2 ** (exponent - 7);
  const units = magnitude / unit; // exact: a power of 2
  const below = Math.floor(units);
  const rest = units - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 === 1);
  const rounded = (below + (up ? 1 : 0)) * unit;
  return Math.sign(value) * (rounded > ROUNDING.bfloat16.largest ? Infinity : rounded);
}

for (const dtype of DTYPES) {
  Deno.test(`widen() gives the value of each of the 65,536 patterns (${dtype})`, () => {
    const values = widened(ALL_BITS, dtype);
    const oracle = new Float16Array(ALL_BITS.buffer);
    values.forEach((value, bits) => {
      assert.ok(Object.is(value, valueOf(bits, dtype)), `0x${bits.toString(16)} became ${value}`);
      if (dtype === "float16") assert.ok(Object.is(value, oracle[bits]));
    });
  });

  Deno.test(`narrow() gives back each of the 65,536 patterns, and keeps NaN (${dtype})`, () => {
    const values = widened(ALL_BITS, dtype);
    const back = narrowed(values, dtype);
    back.forEach((bits, index) => {
      if (Number.isNaN(values[index])) assert.ok(Number.isNaN(valueOf(bits, dtype)));
      else assert.equal(bits, index);
    });
  });

  Deno.test(`narrow() rounds to nearest, ties to even, between any two neighbours (${dtype})`, () => {
    const values = widened(ALL_BITS, dtype).filter(Number.isFinite).sort();
    const between: number[] = [];
    for (let index = 1; index < values.length; index++) {
      const middle = Math.fround((values[index - 1] + values[index]) / 2);
      for (const offset of [-1, 0, 1]) between.push(neighbour(middle, offset));
    }
    checkRounding(Float32Array.from(between), dtype);
  });

  Deno.test(`narrow() agrees with the reference on any bits of float32 (${dtype})`, () => {
    fc.assert(
      fc.property(
        fc.uint32Array({ minLength: 1, maxLength: 300, size: "max" }),
        (bits) => checkRounding(new Float32Array(bits.buffer, bits.byteOffset, bits.length), dtype),
      ),
      { numRuns: 2000 },
    );
  });

  Deno.test(`narrow() agrees with the reference around its limits, denormals and specials (${dtype})`, () => {
    const { largest, absolute } = ROUNDING[dtype];
    const edges = [0, 2 * absolute, absolute, largest, 65504, 65520, 65536, 2 ** -14, 2 ** -126];
    const near = edges.flatMap((edge) => [-3, -2, -1, 0, 1, 2, 3].map((by) => neighbour(edge, by)));
    const special = [1e-45, -1e-45, 3.4028234663852886e38, NaN, Infinity, 0.1, 1 / 3];
    const values = [...near, ...special].flatMap((value) => [value, -value]);
    checkRounding(Float32Array.from(values), dtype);
  });

  Deno.test(`narrow() says that a finite value became infinite, anywhere, and nothing else (${dtype})`, () => {
    const { largest } = ROUNDING[dtype];
    // Half a unit beyond the largest number: the least that becomes infinite.
    const tooLarge = largest * (1 + ROUNDING[dtype].relative / (2 - 2 * ROUNDING[dtype].relative));
    assert.equal(Math.fround(tooLarge), tooLarge);
    for (const length of [1, 4, 7, 4096, 4097, 10_001]) {
      const clean = new Float32Array(length).fill(largest);
      clean[0] = neighbour(tooLarge, -1);
      clean[length - 1] = length > 1 ? NaN : clean[0];
      clean[length >> 1] = length > 2 ? -Infinity : clean[length >> 1];
      const target = new Uint8Array(2 * length);
      assert.equal(narrow(target, clean, dtype), false);
      for (const value of [tooLarge, -tooLarge, 3.4028234663852886e38]) {
        for (const at of [0, length >> 1, length - 1]) {
          assert.equal(narrow(target, clean.with(at, value), dtype), true, `${value} at ${at}`);
          assert.equal(narrow(target, clean, dtype), false, "nothing stays from the call before");
        }
      }
    }
  });

  Deno.test(`narrow() and widen() take any length and any place in memory (${dtype})`, () => {
    const values = Float32Array.from({ length: 12_289 }, (_, index) => Math.sin(index) * 1e-3);
    const whole = narrowed(values, dtype);
    for (const length of [0, 1, 3, 4, 5, 4095, 4096, 4097, 12_289]) {
      const memory = new Uint8Array(2 * length + 3).fill(0xab);
      narrow(memory.subarray(1, 1 + 2 * length), values.subarray(0, length), dtype);
      assert.deepEqual(
        memory.slice(1, 1 + 2 * length),
        new Uint8Array(whole.slice(0, length).buffer),
      );
      assert.deepEqual([memory[0], ...memory.slice(1 + 2 * length)], [0xab, 0xab, 0xab]);
      const back = new Float32Array(length + 1).fill(7);
      widen(back.subarray(0, length), memory.subarray(1, 1 + 2 * length), dtype);
      assert.deepEqual(back.slice(0, length), widened(whole.slice(0, length), dtype));
      assert.equal(back[length], 7);
    }
  });
}

/** The float32 number that comes `by` places after a value. */
function neighbour(value: number, by: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  bits[0] += bits[0] < 0 ? -by : by;
  return new Float32Array(bits.buffer)[0];
}

function checkRounding(values: Float32Array, dtype: NarrowDtype): void {
  const { relative, absolute, largest } = ROUNDING[dtype];
  narrowed(values, dtype).forEach((bits, index) => {
    const value = values[index];
    const found = valueOf(bits, dtype);
    const expected = roundedByOracle(value, dtype);
    assert.ok(Object.is(found, expected), `${value} became ${found}, not ${expected}`);
    if (Math.abs(value) <= largest) {
      assert.ok(Math.abs(found - value) <= relative * Math.abs(value) + absolute);
    }
  });
}

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Elementwise } from "../../src/engine/elementwise.ts";
import { KernelThreads, setKernelThreads } from "../../src/engine/kernel_threads.ts";
import { compileKernel, WasmKernel } from "../../src/engine/wasm_kernel.ts";

/** Every operation once; the second output is an input as it came. */
const ALL: Elementwise = {
  inputs: 2,
  outputs: 2,
  numbers: 3,
  compute: (ops, [a, b], [factor, low, high]) => [
    ops.div(
      ops.sub(ops.mul(a, factor), ops.sqrt(ops.mul(b, b))),
      ops.add(ops.min(ops.max(b, low), high), factor),
    ),
    a,
  ],
};
const NUMBERS = [0.1, -0.5, 0.25];

function allOf(a: number, b: number): number {
  const f = Math.fround;
  const [factor, low, high] = NUMBERS.map(f);
  const over = f(f(a * factor) - f(Math.sqrt(f(b * b))));
  return f(over / f(Math.min(Math.max(b, low), high) + factor));
}

function vector(length: number, scale: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, (_, index) => Math.sin(index * scale));
}

const bytesOf = (floats: Float32Array<ArrayBuffer>) => new Uint8Array(floats.buffer);

Deno.test("a kernel rounds each operation to float32, for vectors of any length", () => {
  const kernel = new WasmKernel(compileKernel(ALL));
  for (const length of [0, 1, 3, 4, 8, 17, 8191, 8192, 8200, 20_001]) {
    const [a, b] = [vector(length, 0.7), vector(length, 1.3)];
    const outputs = [new Float32Array(length), new Float32Array(length)];
    kernel.run(outputs.map(bytesOf), [a, b].map(bytesOf), NUMBERS);
    assert.deepEqual(outputs[0], a.map((value, index) => allOf(value, b[index])), `${length}`);
    assert.deepEqual(outputs[1], a);
  }
});

Deno.test("a kernel may write where it reads, lets NaN through, and refuses vectors that don't fit", () => {
  const kernel = new WasmKernel(compileKernel(ALL));
  const [a, b] = [vector(10_000, 0.7), vector(10_000, 1.3)];
  a[9999] = NaN;
  const expected = a.map((value, index) => allOf(value, b[index]));
  const copy = new Float32Array(10_000);
  kernel.run([a, copy].map(bytesOf), [a, b].map(bytesOf), NUMBERS);
  assert.deepEqual(a, expected);
  assert.ok(Number.isNaN(copy[9999]));
  const [short] = [vector(9, 1)];
  const wrong = (
    outputs: Float32Array<ArrayBuffer>[],
    inputs: Float32Array<ArrayBuffer>[],
    numbers: number[],
  ) =>
    assert.throws(() => kernel.run(outputs.map(bytesOf), inputs.map(bytesOf), numbers), RangeError);
  wrong([a, copy], [a, short], NUMBERS);
  wrong([a], [a, b], NUMBERS);
  wrong([a, copy], [a, b], [1, 2]);
});

Deno.test("several threads give the bits of one, and end when they are disposed of", async () => {
  const length = 3_000_016;
  const [a, b] = [vector(length, 0.7), vector(length, 1.3)];
  const results: Float32Array[] = [];
  try {
    for (const threads of [1, 3]) {
      setKernelThreads(threads);
      using kernel = new KernelThreads(compileKernel(ALL));
      const outputs = [new Float32Array(length), new Float32Array(length)];
      const job = { inputs: [a, b].map(bytesOf), outputs: outputs.map(bytesOf), numbers: NUMBERS };
      for (let round = 0; round < 2; round++) await kernel.run([job]);
      results.push(outputs[0]);
      assert.equal(Buffer.compare(bytesOf(outputs[1]), bytesOf(a)), 0);
    }
  } finally {
    setKernelThreads(1);
  }
  assert.equal(Buffer.compare(bytesOf(results[0] as never), bytesOf(results[1] as never)), 0);
  for (const index of [0, 1, length - 1]) {
    assert.equal(results[0][index], allOf(a[index], b[index]));
  }
});

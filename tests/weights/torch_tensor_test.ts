import assert from "node:assert/strict";
import { elementCount, toFloat32, type TorchDtype } from "../../src/weights/torch_tensor.ts";
import { bytesOf } from "./made_files.ts";

Deno.test("toFloat32() reads every element type, at any alignment", () => {
  const cases: [TorchDtype, ArrayBufferView<ArrayBuffer>, number[]][] = [
    ["float32", new Float32Array([1.5, -2]), [1.5, -2]],
    ["float64", new Float64Array([0.1, -2]), [Math.fround(0.1), -2]],
    ["float16", new Float16Array([0.1, -2]), [0.0999755859375, -2]],
    ["bfloat16", new Uint16Array([0x3fc0, 0xc000]), [1.5, -2]],
    ["int64", new BigInt64Array([-3n, 2n ** 40n]), [-3, 2 ** 40]],
    ["int32", new Int32Array([-3, 70000]), [-3, 70000]],
    ["int16", new Int16Array([-3, 700]), [-3, 700]],
    ["int8", new Int8Array([-3, 70]), [-3, 70]],
    ["uint8", new Uint8Array([3, 255]), [3, 255]],
    ["bool", new Uint8Array([1, 0]), [1, 0]],
  ];
  for (const [dtype, values, expected] of cases) {
    const bytes = new Uint8Array(values.buffer);
    for (const shift of [0, 1, 8]) {
      const data = bytesOf(new Uint8Array(shift), bytes).subarray(shift);
      const read = toFloat32({ dtype, shape: [2], data });
      assert.deepEqual([...read], expected, `${dtype} at ${shift}`);
    }
  }
});

Deno.test("elementCount() knows a shape from what is none", () => {
  assert.equal(elementCount([]), 1);
  assert.equal(elementCount([2, 3]), 6);
  assert.equal(elementCount([2, 0]), 0);
  for (const shape of [[-1], [1.5], [NaN], [2 ** 53], [2 ** 30, 2 ** 30], Array(65).fill(1)]) {
    assert.equal(elementCount(shape), undefined, `[${shape}]`);
  }
});

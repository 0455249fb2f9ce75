import assert from "node:assert/strict";
import { floatValues, requireFinite } from "../../src/weights/float_values.ts";
import type { TorchDtype, TorchTensor } from "../../src/weights/torch_tensor.ts";

function tensor(
  dtype: TorchDtype,
  values: Float32Array | Float64Array | Uint16Array,
): TorchTensor {
  return { dtype, shape: [values.length], data: new Uint8Array(values.buffer) };
}

const float32 = (...values: number[]) => tensor("float32", Float32Array.from(values));

Deno.test("floatValues() refuses variances and Adam's averages of squares below 0", () => {
  for (const name of ["bn1.running_var", "fc.weight.exp_avg_sq"]) {
    assert.throws(
      () => floatValues(name, float32(0, 1, -1e-3), "w.pth"),
      {
        name: "UsageError",
        message: new RegExp(
          `w\\.pth: tensor ${name} holds -0\\.001\\d* at \\[2\\], and a variance`,
        ),
      },
    );
    assert.equal(floatValues(name, float32(0, 1), "w.pth").length, 2);
  }
  for (const name of ["bn1.running_mean", "fc.weight.exp_avg", "fc.weight.momentum_buffer"]) {
    assert.equal(floatValues(name, float32(-1), "w.pth")[0], -1);
  }
});

Deno.test("floatValues() refuses optimizer state that isn't finite, in any dtype of floats", () => {
  const name = "fc.weight.momentum_buffer";
  const wild: [TorchTensor, string][] = [
    [float32(0, NaN), "NaN at [1]"],
    [float32(-Infinity), "-Infinity at [0]"],
    [tensor("float16", Uint16Array.of(0x3c00, 0x7c00)), "Infinity at [1]"],
    [tensor("bfloat16", Uint16Array.of(0x7fc0)), "NaN at [0]"],
    [tensor("float64", Float64Array.of(-1e300)), "-1e+300 at [0], which is too large for float32"],
  ];
  for (const [own, what] of wild) {
    assert.throws(() => floatValues(name, own, "last"), {
      message: `last: tensor ${name} holds ${what}: give weights that are finite`,
    });
  }
});

Deno.test("requireFinite() names the tensor and what to look at; integers are left alone", () => {
  const steps: TorchTensor = { dtype: "int64", shape: [], data: new Uint8Array(8).fill(255) };
  requireFinite(new Map([["bn.num_batches_tracked", steps], ["fc.bias", float32(1)]]), "X");
  assert.throws(
    () => requireFinite(new Map([["fc.bias", float32(1, Infinity)]]), "Checkpoint last"),
    /^LockstepError: Checkpoint last is not written.*tensor fc\.bias holds Infinity at \[1\].*lower train\.lr/,
  );
});

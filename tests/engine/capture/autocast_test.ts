import assert from "node:assert/strict";
import { CapturedFunction } from "../../../src/engine/capture/capture.ts";
import { isNarrowOp, narrowType } from "../../../src/engine/capture/autocast.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { softmaxCrossEntropy, trainingBatchNorm } from "../../../src/engine/native_ops.ts";
import type { Precision } from "../../../src/engine/precision.ts";
import { tf } from "../../../src/engine/tf.ts";
import fixture from "../../fixtures/precision/autocast.json" with { type: "json" };
import { deterministicFill, deterministicValues } from "../../support/deterministic_fill.ts";

await openEngine();

type Nested = number | Nested[];

/** Parameters of the fixture's network, by PyTorch's names and shapes. */
const SHAPES = {
  "conv1.weight": [8, 3, 3, 3],
  "bn1.weight": [8],
  "bn1.bias": [8],
  "conv2.weight": [8, 8, 3, 3],
  "bn2.weight": [8],
  "bn2.bias": [8],
  "conv3.weight": [8, 1, 3, 3],
  "conv3.bias": [8],
  "fc.weight": [3, 8],
  "fc.bias": [3],
} as const;
const NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];
const STATISTICS = ["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"];

/** Axes of a parameter here, as positions of PyTorch's axes. */
function axesOf(name: string, rank: number): number[] {
  if (rank === 2) return [1, 0];
  if (rank === 1) return [0];
  return name === "conv3.weight" ? [2, 3, 0, 1] : [2, 3, 1, 0];
}

function fromTorch(name: string, shape: readonly number[]): tf.Tensor {
  return tf.tidy(() =>
    tf.transpose(
      tf.tensor(deterministicFill(name, shape), [...shape]),
      axesOf(name, shape.length),
    )
  );
}

/** Values of a gradient in PyTorch's order. */
function toTorch(name: string, value: tf.Tensor): Float32Array {
  const axes = axesOf(name, value.shape.length);
  const back = axes.map((_, axis) => axes.indexOf(axis));
  return tf.tidy(() => tf.transpose(value, back).dataSync() as Float32Array);
}

/** Runs the fixture's step; returns logits, loss, gradients and statistics by name. */
async function step(precision: Precision): Promise<Map<string, Float32Array>> {
  const parameters = NAMES.map((name) => tf.variable(fromTorch(name, SHAPES[name]), true, name));
  const [conv1, gamma1, beta1, conv2, gamma2, beta2, conv3, bias3, fc, bias] = parameters;
  const buffers = STATISTICS.map((name) => tf.variable(fromTorch(name, [8]), false, name));
  const normalize = (x: tf.Tensor, first: number, gamma: tf.Tensor, beta: tf.Tensor) => {
    const [movingMean, movingVariance] = buffers.slice(first) as tf.Variable<tf.Rank.R1>[];
    const state = { gamma, beta, movingMean, movingVariance } as Parameters<
      typeof trainingBatchNorm
    >[1];
    const result = trainingBatchNorm(x as tf.Tensor4D, state, 0.1, 1e-5);
    movingMean!.assign(result.movingMean);
    movingVariance!.assign(result.movingVariance);
    return result.y;
  };
  const logitsOf = (input: tf.Tensor) => {
    const normal1 = normalize(
      tf.conv2d(input as tf.Tensor4D, conv1 as tf.Tensor4D, 1, "same"),
      0,
      gamma1!,
      beta1!,
    );
    const pooled = tf.maxPool(tf.relu(normal1), 2, 2, "valid");
    const normal2 = normalize(
      tf.conv2d(pooled, conv2 as tf.Tensor4D, 1, "same"),
      2,
      gamma2!,
      beta2!,
    );
    const block = tf.relu(tf.add(normal2, pooled));
    const deep = tf.add(
      tf.depthwiseConv2d(block as tf.Tensor4D, conv3 as tf.Tensor4D, 1, "same"),
      bias3!,
    );
    const gated = tf.mul(deep, tf.sigmoid(deep));
    return tf.add(
      tf.matMul(tf.mean(gated, [1, 2]) as tf.Tensor2D, fc as tf.Tensor2D),
      bias!,
    );
  };
  const fn = new CapturedFunction("autocast", (input, targets) => {
    let logits!: tf.Tensor;
    const { value, grads } = tf.variableGrads(() => {
      logits = tf.keep(logitsOf(input!));
      const losses = softmaxCrossEntropy(logits as tf.Tensor2D, targets as tf.Tensor2D);
      return tf.mean(losses) as tf.Scalar;
    }, parameters);
    return [logits, value, ...NAMES.map((name) => grads[name]!)];
  }, {
    variables: () => [...parameters, ...buffers],
    capture: true,
    ...{ precision, roundsInTrace: true },
  });
  const { name, shape: [n, c, h, w], scale } = fixture.input;
  const values = deterministicValues(name, n! * c! * h! * w!, scale);
  const input = tf.transpose(tf.tensor(values, [n!, c!, h!, w!]), [0, 2, 3, 1]);
  const targets = tf.oneHot(fixture.labels, 3).toFloat();
  const [logits, loss, ...gradients] = await fn.call([input, targets]);
  const found = new Map<string, Float32Array>([
    ["logits", logits!.dataSync() as Float32Array],
    ["loss", loss!.dataSync() as Float32Array],
    ...NAMES.map((name, at) => [name, toTorch(name, gradients[at]!)] as const),
    ...STATISTICS.map((name, at) => [name, buffers[at]!.dataSync() as Float32Array] as const),
  ]);
  fn.dispose();
  tf.dispose([...parameters, ...buffers, input, targets, logits!, loss!, ...gradients]);
  return found;
}

/** PyTorch's values of a step, by name. */
function torchStep(precision: "float32" | "float16" | "bfloat16"): Map<string, Float32Array> {
  const { logits, loss, gradients, statistics } = fixture[precision];
  const named: [string, Nested][] = [
    ["logits", logits],
    ["loss", loss],
    ...Object.entries(gradients),
    ...Object.entries(statistics),
  ];
  return new Map(
    named.map(([name, value]) => [name, Float32Array.from([value].flat(4) as number[])]),
  );
}

/** The norm of a difference as a part of the norm. */
function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  const norm = (values: Float32Array) => Math.hypot(...values);
  return norm(a.map((value, at) => value - b[at]!)) / norm(b);
}

/** Bits of a significand. */
const BITS = { float16: 11, bfloat16: 8 } as const;

for (const precision of ["float16", "bfloat16"] as const) {
  Deno.test(`a trace with ${precision} computes what PyTorch's autocast does`, async () => {
    const [ours, theirs, exact] = [
      await step(precision),
      torchStep(precision),
      torchStep("float32"),
    ];
    const rounding = 2 ** -BITS[precision];
    for (const [name, values] of theirs) {
      const off = distance(ours.get(name)!, values) / rounding;
      // What is behind the convolutions is rounded at the same places. A gradient differs where sums in another order
      // round to a neighbour.
      const most = STATISTICS.includes(name) ? 0.05 : 6;
      assert.ok(off < most, `${name} is off by ${off} roundings`);
    }
    const last = STATISTICS[2]!;
    assert.ok(distance(theirs.get(last)!, exact.get(last)!) > 0.2 * rounding, "not float32's");
  });
}

Deno.test("a trace with float32 computes what PyTorch does", async () => {
  const ours = await step("float32");
  for (const [name, values] of torchStep("float32")) {
    assert.ok(distance(ours.get(name)!, values) < 3e-6, name);
  }
});

Deno.test("an evaluating BatchNorm keeps 16-bit activations, and float32 statistics", async () => {
  const values = (name: string, shape: number[]) => tf.variable(fromTorch(name, shape), false);
  const kernel = values("conv1.weight", [8, 3, 3, 3]);
  const state = ["running_mean", "running_var", "bias", "weight"].map((name) => values(name, [8]));
  const [mean, variance, offset, scale] = state as tf.Variable<tf.Rank.R1>[];
  const fn = new CapturedFunction("evaluate", (x) => {
    const y = tf.conv2d(x as tf.Tensor4D, kernel as unknown as tf.Tensor4D, 1, "same");
    return [tf.relu(tf.batchNorm(y, mean!, variance!, offset, scale, 1e-5))];
  }, { variables: () => [kernel, ...state], capture: true, precision: "float16" });
  const x = tf.randomNormal([2, 8, 8, 3], 0, 1, "float32", 1);
  const [run] = await fn.profile([x], 1);
  const typeOf = (op: string) => run!.nodes.find((node) => node.op === op)?.outputs[0]?.dtype;
  assert.deepEqual(["FusedBatchNormV3", "Relu"].map(typeOf), [19, 19]);
  const [y] = await fn.call([x]);
  const exact = tf.tidy(() => {
    const convolved = tf.conv2d(x as tf.Tensor4D, kernel as unknown as tf.Tensor4D, 1, "same");
    return tf.relu(tf.batchNorm(convolved, mean!, variance!, offset, scale, 1e-5));
  });
  assert.equal(y!.dtype, "float32");
  const off = distance(y!.dataSync() as Float32Array, exact.dataSync() as Float32Array);
  assert.ok(off > 2 ** -14 && off < 2 ** -10, `off by ${off}`);
  fn.dispose();
  tf.dispose([kernel, ...state, x, y!, exact]);
});

Deno.test("narrowType() leaves bfloat16 on a CPU to TensorFlow's graph optimizer", () => {
  assert.equal(narrowType({ precision: "bfloat16" }, false), undefined);
  assert.equal(narrowType({ precision: "bfloat16" }, true), 14);
  assert.equal(narrowType({ precision: "bfloat16", xla: true }, false), 14);
  assert.equal(narrowType({ precision: "float16" }, false), 19);
  for (const precision of ["float32", "tf32"] as const) {
    assert.equal(narrowType({ precision }, true), undefined);
  }
});

Deno.test("isNarrowOp() follows inputs, but for single numbers, sums and losses", () => {
  const input = (isNarrow: boolean, position = 0, rank = 4) => ({ isNarrow, position, rank });
  assert.equal(isNarrowOp("Conv2D", [input(false), input(false, 1)]), true);
  assert.equal(isNarrowOp("AddV2", [input(true), input(true, 1)]), true);
  assert.equal(isNarrowOp("AddV2", [input(true), input(false, 1)]), false);
  assert.equal(isNarrowOp("Mul", [input(true), input(false, 1, 0)]), true);
  assert.equal(isNarrowOp("Mul", [input(false, 0, 0), input(false, 1, 0)]), false);
  assert.equal(isNarrowOp("ReluGrad", [input(false), input(true, 1)]), true);
  assert.equal(isNarrowOp("ReluGrad", [input(true), input(false, 1)]), false);
  for (const op of ["Sum", "Mean", "Softmax", "SoftmaxCrossEntropyWithLogits", "Exp", "Rsqrt"]) {
    assert.equal(isNarrowOp(op, [input(true)]), false, op);
  }
});

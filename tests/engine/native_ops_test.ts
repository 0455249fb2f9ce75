import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { softmaxCrossEntropy, trainingBatchNorm } from "../../src/engine/native_ops.ts";
import { tf } from "../../src/engine/tf.ts";

await openEngine();

/** Holds two tensors' values to each other within `tolerance` of the larger magnitude. */
function assertClose(actual: tf.Tensor, expected: tf.Tensor, tolerance = 1e-5): void {
  assert.deepEqual(actual.shape, expected.shape);
  const a = Array.from(actual.dataSync());
  const b = Array.from(expected.dataSync());
  const scale = Math.max(1e-6, ...b.map(Math.abs));
  a.forEach((value, index) => {
    const error = Math.abs(value - b[index]) / scale;
    assert.ok(error <= tolerance, `element ${index} is ${value}, expected ${b[index]}`);
  });
}

Deno.test("trainingBatchNorm() equals the formula, its gradient too", () => {
  tf.tidy(() => {
    const [n, h, w, c] = [3, 4, 5, 2];
    const x = tf.variable(tf.randomNormal([n, h, w, c], 1, 2, "float32", 7)) as tf.Tensor4D;
    const gamma = tf.variable(tf.tensor1d([1.5, 0.5]));
    const beta = tf.variable(tf.tensor1d([0.1, -0.2]));
    const state = { movingMean: tf.tensor1d([1, 2]), movingVariance: tf.tensor1d([3, 4]) };
    const weight = tf.randomNormal([n, h, w, c], 0, 1, "float32", 9);
    const variables = [x, gamma, beta] as unknown as tf.Variable[];

    let statistics: tf.Tensor[] = [];
    const native = tf.variableGrads(() => {
      const result = trainingBatchNorm(x, { gamma, beta, ...state } as never, 0.1, 1e-3);
      statistics = [tf.keep(result.movingMean), tf.keep(result.movingVariance)];
      return tf.sum(tf.mul(result.y, weight)) as tf.Scalar;
    }, variables);
    const composed = tf.variableGrads(() => {
      const { mean, variance } = tf.moments(x, [0, 1, 2]);
      const scale = tf.mul(gamma, tf.rsqrt(tf.add(variance, 1e-3)));
      const y = tf.add(tf.mul(tf.sub(x, mean), scale), beta);
      return tf.sum(tf.mul(y, weight)) as tf.Scalar;
    }, variables);
    assertClose(native.value, composed.value);
    for (const { name } of variables) assertClose(native.grads[name], composed.grads[name], 1e-4);

    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    const count = n * h * w;
    assertClose(statistics[0], tf.add(tf.mul(state.movingMean, 0.9), tf.mul(mean, 0.1)));
    const unbiased = tf.mul(variance, count / (count - 1));
    assertClose(statistics[1], tf.add(tf.mul(state.movingVariance, 0.9), tf.mul(unbiased, 0.1)));
    tf.dispose(statistics);
  });
});

Deno.test("a composed softmaxCrossEntropy() has the values of TensorFlow's own, large logits and NaN included", () => {
  tf.tidy(() => {
    const rows = [[1, 2, 3], [1e30, -1e30, 0], [-90, 0, 90], [1e-30, 0, -1e-30], [NaN, 0, 1]];
    const targets = tf.tensor2d([[0, 1, 0], [1, 0, 0], [0.2, 0.3, 0.5], [0, 0.5, 0.5], [0, 1, 0]]);
    const of = (composed: boolean) => {
      const x = tf.variable(tf.tensor2d(rows)) as tf.Variable;
      const { value, grads } = tf.variableGrads(() => {
        const losses = softmaxCrossEntropy(x as unknown as tf.Tensor2D, targets, composed);
        return tf.sum(tf.slice(losses, 0, 4)) as tf.Scalar;
      }, [x]);
      return {
        losses: softmaxCrossEntropy(tf.tensor2d(rows), targets, composed),
        ...{ value, gradient: tf.slice(grads[x.name]!, 0, 4) },
      };
    };
    const [own, composed] = [of(false), of(true)];
    assertClose(tf.slice(composed.losses, 0, 4), tf.slice(own.losses, 0, 4), 1e-6);
    assertClose(composed.value, own.value, 1e-6);
    assertClose(composed.gradient, own.gradient, 1e-6);
    for (const { losses } of [own, composed]) assert.ok(Number.isNaN(losses.dataSync()[4]));
  });
});

Deno.test("softmaxCrossEntropy() equals -log softmax of the target, its gradient too", () => {
  tf.tidy(() => {
    const logits = tf.variable(tf.tensor2d([[1, 2, 3], [1000, 0, -1000], [-1, 0, 1]]));
    const labels = tf.tensor1d([0, 0, 2], "int32");
    const targets = tf.oneHot(labels, 3).toFloat() as tf.Tensor2D;
    const losses = softmaxCrossEntropy(logits as tf.Tensor2D, targets);
    assertClose(losses, tf.tensor1d([2.4076059, 0, 0.4076059]));
    const { grads } = tf.variableGrads(
      () => tf.sum(softmaxCrossEntropy(logits as tf.Tensor2D, targets)) as tf.Scalar,
      [logits as tf.Variable],
    );
    const expected = tf.sub(tf.softmax(logits), tf.oneHot(labels, 3));
    assertClose(grads[(logits as tf.Variable).name], expected);
  });
});

for (const kernel of ["relu", "relu6"] as const) {
  Deno.test(`${kernel}'s native gradient is 1 within its range and 0 outside`, () => {
    tf.tidy(() => {
      const x = tf.tensor1d([-2, -0.5, 0.5, 3, 5.9, 7]);
      const gradient = tf.grad((input) => tf[kernel](input))(x);
      const above = kernel === "relu" ? 1 : 0;
      assert.deepEqual(gradient.arraySync(), [0, 0, 1, 1, 1, above]);
    });
  });
}

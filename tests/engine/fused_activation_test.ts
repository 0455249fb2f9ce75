import assert from "node:assert/strict";
import { CapturedFunction } from "../../src/engine/capture/capture.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";

await openEngine();

const CHANNELS = 16;
const SHAPE = [2, 8, 8, CHANNELS];

Deno.test("a captured activation after a convolution passes NaN on, as the op does by itself", async () => {
  const weight = tf.variable(tf.randomUniform([3, 3, CHANNELS, CHANNELS], 0, 0.1, "float32", 1));
  const depthwise = tf.variable(tf.randomUniform([3, 3, CHANNELS, 1], 0, 0.1, "float32", 2));
  const bias = tf.variable(tf.zeros([CHANNELS]));
  const scale = tf.variable(tf.ones([CHANNELS]));
  const variables = [weight, depthwise, bias, scale];
  const image = (x: tf.Tensor) => x as tf.Tensor4D;
  const kernel = weight as unknown as tf.Tensor4D;
  const convolved = (x: tf.Tensor) => tf.add(tf.conv2d(image(x), kernel, 1, "same"), bias);
  const single = (x: tf.Tensor) =>
    tf.add(tf.depthwiseConv2d(image(x), depthwise as unknown as tf.Tensor4D, 1, "same"), bias);
  const volume = (x: tf.Tensor) =>
    tf.add(
      tf.conv3d(
        tf.expandDims(x, 1) as tf.Tensor5D,
        tf.expandDims(weight, 0) as tf.Tensor5D,
        1,
        "same",
      ),
      bias,
    );
  const normalized = (x: tf.Tensor) => {
    const [offset, factor] = [bias, scale] as unknown as tf.Tensor1D[];
    return tf.batchNorm(image(x), offset, factor, offset, factor, 1e-5);
  };
  const bodies = { convolved, single, volume, normalized, dense: denseOn(variables) };
  for (const [name, body] of Object.entries(bodies)) {
    for (const activation of [tf.relu, tf.relu6]) {
      const fn = (x: tf.Tensor) => activation(body(x));
      const captured = new CapturedFunction(name, (x) => [tf.tidy(() => fn(x))], {
        variables: () => variables,
        capture: true,
      });
      for (const value of [NaN, Infinity, -Infinity, 0.5]) {
        const x = tf.fill(SHAPE, value);
        const [result] = await captured.call([x]);
        const [expected, given] = [tf.tidy(() => fn(x)), result].map((tensor) => tensor.dataSync());
        const what = `${name} ${activation.name} of ${value}`;
        if (value === 0.5) {
          given.forEach((one, at) => assert.ok(Math.abs(one - expected[at]) < 1e-4));
        } else assert.deepEqual(given, expected, what);
        tf.dispose([x, result]);
      }
      captured.dispose();
    }
  }
  tf.dispose(variables);
});

/** A layer of a flattened input, whose weight joins the variables. */
function denseOn(variables: tf.Variable[]): (x: tf.Tensor) => tf.Tensor {
  const inputs = SHAPE.slice(1).reduce((product, side) => product * side, 1);
  const weight = tf.variable(tf.randomUniform([inputs, 32], 0, 0.1, "float32", 3));
  variables.push(weight);
  return (x) => tf.add(tf.matMul(tf.reshape(x, [SHAPE[0], inputs]), weight as tf.Tensor2D), 0.5);
}

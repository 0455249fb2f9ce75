import assert from "node:assert/strict";
import { CapturedFunction, type CapturedResult } from "../../src/engine/capture/capture.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { trainingBatchNorm } from "../../src/engine/native_ops.ts";
import { synchronizedBatchNorm } from "../../src/engine/synchronized_batch_norm.ts";
import { tf } from "../../src/engine/tf.ts";
import { MomentExchange } from "../../src/train/moment_exchange.ts";
import { smallSums } from "../support/small_sums.ts";

await openEngine();

const [H, W, C] = [3, 4, 3];
const MOMENTUM = 0.1;
const EPSILON = 1e-3;

/** A layer between two others: its gradient goes on into `x`, and its running statistics move. */
class Layer {
  readonly gamma = tf.variable(tf.tensor1d([1.5, 0.5, -1]));
  readonly beta = tf.variable(tf.tensor1d([0.1, -0.2, 0.3]));
  readonly movingMean = tf.variable(tf.tensor1d([1, 2, 3]), false);
  readonly movingVariance = tf.variable(tf.tensor1d([3, 4, 5]), false);
  readonly x: tf.Variable;
  readonly fn: CapturedFunction;

  /** @param factor Of the loss, Σ weight · BatchNorm(BatchNorm(x)²) */
  constructor(x: tf.Tensor, factor: number, exchanges: boolean) {
    this.x = tf.variable(x);
    const variables = [this.x, this.gamma, this.beta];
    const layer = (input: tf.Tensor) => {
      const norm = exchanges ? synchronizedBatchNorm : trainingBatchNorm;
      const result = norm(input as tf.Tensor4D, this as never, MOMENTUM, EPSILON);
      this.movingMean.assign(result.movingMean);
      this.movingVariance.assign(result.movingVariance);
      return result.y;
    };
    this.fn = new CapturedFunction("layer", (weight) => {
      const { value, grads } = tf.variableGrads(() => {
        const y = layer(tf.square(layer(this.x)));
        return tf.mul(tf.sum(tf.mul(y, weight)), factor) as tf.Scalar;
      }, variables);
      return [value, ...variables.map(({ name }) => grads[name])];
    }, {
      variables: () => [...variables, this.movingMean, this.movingVariance],
      capture: true,
    });
  }

  dispose(): void {
    this.fn.dispose();
    const { x, gamma, beta, movingMean, movingVariance } = this;
    tf.dispose([x, gamma, beta, movingMean, movingVariance]);
  }
}

function assertNear(actual: tf.Tensor, expected: tf.Tensor, tolerance: number, what: string): void {
  assert.deepEqual(actual.shape, expected.shape);
  const [a, b] = [actual, expected].map((tensor) => Array.from(tensor.dataSync()));
  const scale = b.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  a.forEach((value, index) => {
    const error = Math.abs(value - b[index]) / scale;
    assert.ok(error <= tolerance, `${what}: element ${index} is ${value}, not ${b[index]}`);
  });
}

/** Batches of 12 rows whose channels have means near and far from 0, and weights of the loss. */
function batch(): { x: tf.Tensor4D; weight: tf.Tensor4D } {
  return tf.tidy(() => ({
    x: tf.add(
      tf.randomNormal([12, H, W, C], 0, 2, "float32", 7),
      tf.tensor1d([0.5, 300, -1_000]),
    ) as tf.Tensor4D,
    weight: tf.randomNormal([12, H, W, C], 0, 1, "float32", 9) as tf.Tensor4D,
  }));
}

type Shares = readonly number[];

/** Computes the batch on ranks with some rows each, and holds all that comes out to one rank with all rows. */
async function compare(shares: Shares, inParts: boolean): Promise<void> {
  const { x, weight } = batch();
  const whole = new Layer(x, 1, false);
  const expected = await whole.fn.call([weight]);
  const sums = smallSums(shares.length);
  const rows = (tensor: tf.Tensor4D, rank: number) => {
    const begin = shares.slice(0, rank).reduce((sum, own) => sum + own, 0);
    return tf.slice(tensor, [begin, 0, 0, 0], [shares[rank], H, W, C]);
  };
  const ranks = await Promise.all(shares.map(async (own, rank) => {
    if (own === 0) {
      const layer = new Layer(tf.zeros([1, H, W, C]), 1, true);
      const points = layer.fn.exchangePoints([tf.zeros([1, H, W, C])]);
      assert.deepEqual(
        points.map(({ kind, given, taken }) => [kind, given, taken]),
        [
          ["moments", 2 * C, 3 * C],
          ["moments", 2 * C, 3 * C],
          ["gradients", 2 * C, 2 * C],
          ["gradients", 2 * C, 2 * C],
        ],
      );
      await new MomentExchange(sums[rank], { own, all: 12, share: 0 }).answer(points);
      layer.dispose();
      return undefined;
    }
    const meeting = new MomentExchange(sums[rank], { own, all: 12, share: own / 12 });
    const layer = new Layer(rows(x, rank), 12 / own, true);
    const { exchange } = meeting;
    const results: tf.Tensor[] = [];
    const input = rows(weight, rank);
    if (!inParts) results.push(...await layer.fn.call([input], exchange));
    else {
      await layer.fn.callInParts([input], {
        cuts: (all: readonly CapturedResult[]) =>
          all.map(({ position }) => position).sort((a, b) => a - b),
        onResults: (some) => some.forEach((tensor, index) => results[index] = tensor),
        exchange,
      });
    }
    input.dispose();
    return { layer, results, share: own / 12 };
  }));
  const busy = ranks.flatMap((rank) => rank ?? []);
  tf.tidy(() => {
    const added = (index: number) =>
      tf.addN(busy.map(({ results, share }) => tf.mul(results[index], share)));
    assertNear(added(0), expected[0], 1e-4, "loss");
    const dx = tf.concat(busy.map(({ results, share }) => tf.mul(results[1], share)));
    assertNear(dx, expected[1], 5e-4, "dx");
    assertNear(added(2), expected[2], 1e-4, "dgamma");
    assertNear(added(3), expected[3], 1e-4, "dbeta");
    for (const { layer } of busy) {
      assertNear(layer.movingMean, whole.movingMean, 1e-6, "mean");
      assertNear(layer.movingVariance, whole.movingVariance, 1e-5, "variance");
      const [{ layer: first }] = busy;
      assert.deepEqual(layer.movingMean.dataSync(), first.movingMean.dataSync(), "the same bits");
    }
  });
  for (const { layer, results } of busy) {
    layer.dispose();
    tf.dispose(results);
  }
  whole.dispose();
  tf.dispose([x, weight, ...expected]);
}

Deno.test("synchronizedBatchNorm() over ranks equals trainingBatchNorm() over all their rows", async () => {
  for (const shares of [[12], [6, 6], [3, 3, 3, 3], [5, 4, 3], [7, 0, 4, 1], [0, 12]]) {
    for (const inParts of [false, true]) await compare(shares, inParts);
  }
});

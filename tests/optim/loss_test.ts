import assert from "node:assert/strict";
import fixture from "../fixtures/optim/losses.json" with { type: "json" };
import { openEngine } from "../../src/engine/engine.ts";
import { softmaxCrossEntropy } from "../../src/engine/native_ops.ts";
import { tf } from "../../src/engine/tf.ts";
import { balancedWeights, lossCure, lossPerSample, makeTargets } from "../../src/optim/loss.ts";
import type { LossName } from "../../src/optim/loss_config.ts";
import { assertWithin } from "../models/fixture_model.ts";

await openEngine();

interface Case {
  loss: string;
  labelSmoothing?: number;
  classWeights?: number[];
  share?: number;
  value: number;
  gradient: number[][];
}

const { logits, labels, partnerLabels, cases } = fixture.content;

for (const { value, gradient, share, ...entry } of cases as Case[]) {
  Deno.test(`lossPerSample() gives PyTorch's mean and gradient, ${JSON.stringify({ ...entry, share })}`, () => {
    const { labelSmoothing = 0, classWeights } = entry;
    const targets = makeTargets(
      Int32Array.from(labels),
      { numClasses: 4, labelSmoothing, ...(classWeights ? { classWeights } : {}) },
      share === undefined ? undefined : { share, partnerLabels: Int32Array.from(partnerLabels) },
    );
    tf.tidy(() => {
      const x = tf.variable(tf.tensor2d(logits)) as unknown as tf.Variable;
      const { value: mean, grads } = tf.variableGrads(() => {
        const outputs = (entry.loss === "nll" ? tf.logSoftmax(x) : x) as tf.Tensor2D;
        const losses = lossPerSample(
          entry.loss as LossName,
          outputs,
          tf.tensor2d(targets.distributions, [6, 4]),
          tf.tensor1d(targets.scales),
        );
        return tf.div(tf.sum(losses), targets.weight) as tf.Scalar;
      }, [x]);
      assertWithin([mean.dataSync()[0]], [value], 1e-6, "mean");
      assertWithin([...grads[x.name].dataSync()], gradient.flat(), 1e-5, "gradient");
      if (entry.loss !== "crossEntropy") return;
      const composed = tf.variableGrads(() => {
        const distributions = tf.tensor2d(targets.distributions, [6, 4]);
        const losses = softmaxCrossEntropy(x as unknown as tf.Tensor2D, distributions, true);
        return tf.div(tf.sum(tf.mul(losses, targets.scales)), targets.weight) as tf.Scalar;
      }, [x]);
      assertWithin([composed.value.dataSync()[0]], [value], 1e-6, "mean, composed");
      assertWithin([...composed.grads[x.name].dataSync()], gradient.flat(), 1e-5, "composed");
    });
  });
}

Deno.test("makeTargets() counts a mixed image for the class with the larger share", () => {
  const own = Int32Array.of(0, 1);
  const partnerLabels = Int32Array.of(1, 2);
  const options = { numClasses: 3, labelSmoothing: 0 };
  assert.deepEqual(makeTargets(own, options, { share: 0.6, partnerLabels }).labels, own);
  assert.deepEqual(makeTargets(own, options, { share: 0.4, partnerLabels }).labels, partnerLabels);
});

Deno.test("balancedWeights() makes each class count alike", () => {
  const weights = balancedWeights([10, 30, 20]);
  assert.deepEqual(weights, [2, 60 / 90, 1]);
});

Deno.test("lossCure() names class weights that may make the loss infinite", () => {
  assert.equal(lossCure({ lr: 0.1 }, "the data"), "lower train.lr (0.1) or look at the data");
  assert.equal(lossCure({ lr: 0.1, classWeights: { a: 1000, b: 1 } }), "lower train.lr (0.1)");
  assert.equal(lossCure({ lr: 0.1, classWeights: "balanced" }), "lower train.lr (0.1)");
  assert.equal(
    lossCure({ lr: 0.1, classWeights: [1, 1e5] }, "the data"),
    "lower train.lr (0.1), give smaller train.classWeights (the largest is 100000) or look at the data",
  );
});

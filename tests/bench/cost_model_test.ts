import assert from "node:assert/strict";
import {
  type CostForm,
  costOf,
  fitCost,
  formOf,
  predictStep,
  RING,
  sharedMemoryForm,
  STAR,
} from "../../src/bench/cost_model.ts";

const SIZES = [1e4, 1e5, 1e6, 4e6, 16e6, 64e6];
const COUNTS = [2, 4, 8, 16];

function madePoints(form: CostForm, alpha: number, beta: number) {
  return COUNTS.flatMap((workers) =>
    SIZES.map((bytes) => ({
      workers,
      bytes,
      milliseconds: costOf({ form, alpha, beta }, workers, bytes),
    }))
  );
}

for (const form of [STAR, RING, sharedMemoryForm(4)]) {
  Deno.test(`fitCost() finds the constants that ${form.name} points were made with`, () => {
    const [alpha, beta] = [0.075, 1e-6 / 3.2];
    const fit = fitCost(madePoints(form, alpha, beta), form);
    assert.ok(Math.abs(fit.alpha / alpha - 1) < 1e-9, `α is ${fit.alpha}`);
    assert.ok(Math.abs(fit.beta / beta - 1) < 1e-9, `β is ${fit.beta}`);
    assert.equal(fit.heldOut.length, 8);
    assert.equal(fit.fitted.length + fit.heldOut.length, COUNTS.length * SIZES.length);
    assert.ok(fit.heldOutError < 1e-9 && fit.fittedError < 1e-9);
  });
}

Deno.test("fitCost() reports the error of points that it didn't see", () => {
  const points = madePoints(STAR, 0.1, 1e-6);
  const exact = fitCost(points, STAR);
  // One held-out point takes twice as long: it changes its own error and nothing of the fit.
  const [odd] = exact.heldOut;
  const changed = points.map((point) =>
    point.workers === odd.workers && point.bytes === odd.bytes
      ? { ...point, milliseconds: 2 * point.milliseconds }
      : point
  );
  const fit = fitCost(changed, STAR);
  assert.equal(fit.alpha, exact.alpha);
  assert.equal(fit.beta, exact.beta);
  assert.ok(Math.abs(fit.heldOut[0].error + 0.5) < 1e-9);
  assert.ok(Math.abs(fit.heldOutError - 0.5 / fit.heldOut.length) < 1e-9);
});

Deno.test("fitCost() never makes a constant negative", () => {
  const bandwidthOnly = madePoints(STAR, 0, 1e-6).map((point) => ({
    ...point,
    // A start-up time below 0 would fit these best.
    milliseconds: point.milliseconds * (point.bytes > 1e6 ? 1.1 : 0.9),
  }));
  const fit = fitCost(bandwidthOnly, STAR);
  assert.equal(fit.alpha, 0);
  assert.ok(fit.beta > 0.9e-6 && fit.beta < 1.1e-6, `β is ${fit.beta}`);
  const latencyOnly = madePoints(STAR, 1, 0).map((point, index) => ({
    ...point,
    milliseconds: point.milliseconds * (1 - index % SIZES.length / 100),
  }));
  assert.equal(fitCost(latencyOnly, STAR).beta, 0);
});

Deno.test("fitCost() refuses fewer points than it needs", () => {
  const points = madePoints(STAR, 1, 1).slice(0, 3);
  assert.throws(() => fitCost(points, STAR), /3 points are too few .*--sizes 1MB\.\.8MB/);
});

Deno.test("formOf() knows the exchanges, and no others", () => {
  assert.equal(formOf("nats", 2), STAR);
  assert.equal(formOf("shared-memory", 2).g(8), 4);
  assert.throws(() => formOf("pigeons", 2), /no cost model for the exchange "pigeons"/);
});

Deno.test("predictStep() counts the third round of a training step's messages in shared memory", () => {
  const parts = { alpha: 0.5, beta: 1e-6 };
  const inter = { form: STAR, ...parts };
  const host = { hosts: 1, gpusPerHost: 4 };
  const stepOf = (form: CostForm) =>
    predictStep({ intra: { form, ...parts }, inter, compute: 100, bytes: 1e6 }, host);
  // 4 of 2 cores: α · 5 · 3/2 + β · 10⁶ · 2.
  assert.equal(stepOf(sharedMemoryForm(2)).intraMilliseconds, 0.5 * 5 * 1.5 + 2);
  assert.equal(stepOf(STAR).intraMilliseconds, 0.5 * 5 + 5);
});

Deno.test("predictStep() adds computing, the hosts' own sums and the sum between hosts", () => {
  const intra = { form: RING, alpha: 0.5, beta: 1e-6 };
  const inter = { form: STAR, alpha: 0.25, beta: 2e-6 };
  const step = { intra, inter, compute: 100, bytes: 1e6 };
  const alone = predictStep(step, { hosts: 1, gpusPerHost: 1 });
  assert.equal(alone.stepMilliseconds, 100);
  assert.equal(alone.efficiency, 1);
  const both = predictStep(step, { hosts: 3, gpusPerHost: 4 });
  // Ring of 4: 0.5 · 6 + 1 · 1.5; star of 3: 0.25 · 4 + 2 · 4.
  assert.deepEqual(both, {
    hosts: 3,
    gpusPerHost: 4,
    gpus: 12,
    intraMilliseconds: 4.5,
    interMilliseconds: 9,
    stepMilliseconds: 113.5,
    efficiency: 100 / 113.5,
  });
});

import assert from "node:assert/strict";
import {
  checkMonitor,
  earlyStoppingSchema,
  earlyStopReason,
  isBetter,
} from "../../src/metrics/monitor.ts";

function epochs(losses: readonly number[]) {
  return losses.map((loss, index) => ({
    epoch: index + 1,
    validation: { loss, accuracy: 1 - loss },
    metrics: { own: loss },
  }));
}

function stopsAfter(options: Record<string, unknown>, losses: readonly number[]) {
  const stopping = earlyStoppingSchema.parse(options);
  const all = epochs(losses);
  for (let count = 1; count <= all.length; count++) {
    if (earlyStopReason(stopping, all.slice(0, count))) return count;
  }
}

Deno.test("earlyStopReason() counts epochs without improvement from the best one", () => {
  const losses = [0.9, 0.5, 0.6, 0.55, 0.4, 0.41, 0.42, 0.39];
  assert.equal(stopsAfter({ metric: "loss", patience: 2 }, losses), 4);
  assert.equal(stopsAfter({ metric: "loss", patience: 3 }, losses), undefined);
  assert.equal(stopsAfter({ metric: "accuracy", patience: 2 }, losses), 4);
  assert.equal(stopsAfter({ metric: "own", mode: "min", patience: 2 }, losses), 4);
  assert.equal(stopsAfter({ metric: "own", patience: 2 }, losses), 3, "more is better unless said");
});

Deno.test("earlyStopReason() needs improvements of more than minDelta, and numbers", () => {
  const slow = [0.5, 0.495, 0.49, 0.3];
  assert.equal(stopsAfter({ metric: "loss", patience: 2, minDelta: 0.02 }, slow), 3);
  assert.equal(stopsAfter({ metric: "loss", patience: 2, minDelta: 0.001 }, slow), undefined);
  assert.equal(stopsAfter({ metric: "loss", patience: 2 }, [NaN, NaN, 0.1]), 2);
  assert.equal(stopsAfter({ metric: "loss", patience: 2 }, [NaN, 0.2, NaN, 0.1]), undefined);
  const reason = earlyStopReason(
    earlyStoppingSchema.parse({ metric: "loss", patience: 1 }),
    epochs([0.5, 0.6]),
  );
  assert.equal(reason, "the loss was no better in 1 epoch than 0.5 in epoch 1");
});

Deno.test("isBetter() takes the first number, and never NaN", () => {
  assert.ok(isBetter({ metric: "loss" }, 3, NaN));
  assert.ok(!isBetter({ metric: "loss" }, NaN, NaN));
  assert.ok(!isBetter({ metric: "accuracy" }, NaN, 0.1));
  assert.ok(!isBetter({ metric: "accuracy" }, 0.5, 0.5));
  assert.ok(isBetter({ metric: "accuracy", mode: "min" }, 0.4, 0.5));
});

Deno.test("checkMonitor() names the metrics that there are", () => {
  checkMonitor({ metric: "top2" }, "checkpoint.monitor", ["top2"]);
  assert.throws(
    () => checkMonitor({ metric: "top5" }, "checkpoint.monitor", ["top2"]),
    /checkpoint\.monitor is "top5", but there is no such metric: give accuracy, loss, top2/,
  );
});

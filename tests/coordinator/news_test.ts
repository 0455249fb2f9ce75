import assert from "node:assert/strict";
import { newsOf } from "../../src/coordinator/listeners/news.ts";

Deno.test("newsOf() words the events that are news, and leaves out the rest", () => {
  const point = { examples: 24, epoch: 2, step: 3, loss: 0.5, accuracy: 0.75 };
  assert.equal(newsOf({ type: "info", line: "a line" }), "a line");
  assert.equal(
    newsOf({ type: "stopped", epoch: 2, step: 3, reason: "onStep said stop" }),
    "Stopped in epoch 2: onStep said stop",
  );
  assert.match(
    newsOf({ type: "validation", point, within: { steps: 9, trainLoss: 1 } })!,
    /^epoch 2, step 3\/9 /,
  );
  assert.match(newsOf({ type: "validation", point, within: { steps: 9 } })!, /^before training /);
  assert.equal(newsOf({ type: "validation", point }), undefined, "an epoch's line says it");
  assert.equal(newsOf({ type: "report", finished: true }), undefined);
});

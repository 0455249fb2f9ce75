import assert from "node:assert/strict";
import { newsOf } from "../../src/coordinator/listeners/news.ts";

Deno.test("newsOf() words the events that are news, and leaves out the rest", () => {
  const point = { examples: 24, epoch: 2, step: 3, loss: 0.5, accuracy: 0.75 };
  assert.equal(newsOf({ type: "info", line: "a line" }), "a line");
  assert.equal(
    newsOf({ type: "stopped", epoch: 2, step: 3, reason: "onStep said stop" }),
    "Stopped in epoch 2: onStep said stop",
  );
  const place = { generation: 1, epoch: 2, step: 3 };
  const workers = [{ rank: 1, pid: 7, host: "here", reason: "Rank 1 ended" }];
  assert.equal(
    newsOf({ type: "workersLost", ...place, during: "training", workers }),
    "Lost a worker: Rank 1 ended",
  );
  const recovery = { ranks: [1], reasons: ["ended"], workers: 1, restarts: 0, seconds: 2 };
  assert.match(
    newsOf({ type: "recovery", ...place, policy: "shrink", ...recovery })!,
    /^Recovered in 2\.0 s: the run goes on without rank 1, with 1 worker/,
  );
  assert.match(
    newsOf({ type: "validation", point, within: { steps: 9, trainLoss: 1 } })!,
    /^epoch 2, step 3\/9 /,
  );
  assert.match(newsOf({ type: "validation", point, within: { steps: 9 } })!, /^before training /);
  assert.equal(newsOf({ type: "validation", point }), undefined, "an epoch's line says it");
  assert.equal(newsOf({ type: "report", finished: true }), undefined);
});

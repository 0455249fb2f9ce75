import assert from "node:assert/strict";
import { describeProgress, type Progress, StallWatch } from "../../src/cluster/stall_watch.ts";
import { WORKER_COMMANDS } from "../../src/protocol/worker_commands.ts";

const AT: Progress = {
  activity: WORKER_COMMANDS.validate,
  epoch: 1,
  step: 4,
  phase: "waiting for its batch",
  sample: null,
};

/** Feeds a heartbeat each second; returns the seconds at which something was reported, and the reports. */
function feed(watch: StallWatch, progress: Progress, from: number, to: number) {
  const reports: [number, string][] = [];
  for (let second = from; second <= to; second++) {
    const report = watch.heard(progress, 1000 * second);
    if (report) reports.push([second - from, report]);
  }
  return reports;
}

Deno.test("StallWatch reports a rank that stands still after 10 s, and a few times more", () => {
  const reports = feed(new StallWatch(), { ...AT, sample: 37 }, 0, 400);
  assert.deepEqual(reports.map(([second]) => second), [10, 60, 150]);
  assert.equal(
    reports[0][1],
    "has made no progress for 10 s: it is waiting for its batch in batch 4 of the validation in epoch 1, " +
      "and its data module is making sample 37",
  );
});

Deno.test("StallWatch leaves ranks in peace that wait for others or for commands", () => {
  for (
    const change of [
      { phase: "waiting for the other ranks" },
      { phase: "none" },
      { activity: "waiting" },
      { activity: WORKER_COMMANDS.trainEpoch }, // hang_watch.ts sees all ranks of a step
      { activity: WORKER_COMMANDS.readState },
    ] as Partial<Progress>[]
  ) assert.deepEqual(feed(new StallWatch(), { ...AT, ...change }, 0, 100), []);
});

Deno.test("StallWatch takes a new step, phase or epoch for progress", () => {
  const watch = new StallWatch();
  for (let round = 0; round < 30; round++) {
    const progress = { ...AT, step: round, epoch: 1 + round };
    assert.deepEqual(feed(watch, progress, 9 * round, 9 * round + 8), []);
  }
});

Deno.test("StallWatch gives a first computation 30 s, and slow steps three times what they took", () => {
  const watch = new StallWatch();
  const computing = { ...AT, phase: "computing" } as const;
  assert.deepEqual(feed(watch, computing, 0, 25), []);
  const reports = feed(watch, { ...computing, step: 5 }, 26, 120);
  assert.deepEqual(reports.map(([second]) => second), [75]);
  const stuck = feed(new StallWatch(), { ...computing, sample: 3 }, 0, 12);
  assert.deepEqual(stuck.map(([second]) => second), [10], "in a data module it isn't computing");
});

Deno.test("StallWatch doesn't count time in which nothing was heard", () => {
  const watch = new StallWatch();
  assert.equal(watch.heard(AT, 0), undefined);
  assert.equal(watch.heard(AT, 3_600_000), undefined);
});

Deno.test("describeProgress() names the batch of a validation", () => {
  assert.equal(
    describeProgress({
      ...AT,
      activity: WORKER_COMMANDS.validate,
      epoch: 2,
      step: 7,
      phase: "computing",
    }),
    "computing in batch 7 of the validation in epoch 2",
  );
});

Deno.test("StallWatch.isStuck() is true for a rank with work of its own that makes no progress for the time", () => {
  const computing = { ...AT, activity: WORKER_COMMANDS.trainEpoch, phase: "computing" } as const;
  const isStuckAfter = (progress: Progress, seconds: number, watch = new StallWatch()) => {
    feed(watch, progress, 1000, 1000 + seconds);
    return watch.isStuck(30_000);
  };
  assert.equal(new StallWatch().isStuck(30_000), false, "of which nothing was heard");
  const loading = { ...computing, phase: "waiting for its batch" } as const;
  for (const progress of [loading, AT]) {
    assert.deepEqual([29, 30].map((seconds) => isStuckAfter(progress, seconds)), [false, true]);
  }
  const first = [89, 90].map((seconds) => isStuckAfter(computing, seconds));
  assert.deepEqual(first, [false, true], "the first computation");
  const waiting: Partial<Progress>[] = [
    { phase: "waiting for the other ranks" },
    { phase: "waiting for the coordinator" },
    { phase: "none" },
    // Its command was broken off in that phase: it waits for the next one.
    { activity: "waiting" },
    { activity: WORKER_COMMANDS.pause },
  ];
  for (const change of waiting) {
    assert.equal(isStuckAfter({ ...computing, ...change }, 300), false, JSON.stringify(change));
  }
  const slow = new StallWatch();
  feed(slow, computing, 0, 20);
  feed(slow, { ...computing, step: 5 }, 21, 21 + 59);
  assert.equal(slow.isStuck(30_000), false, "three times as long as it took before");
  feed(slow, { ...computing, step: 5 }, 81, 82);
  assert.equal(slow.isStuck(30_000), true);
});

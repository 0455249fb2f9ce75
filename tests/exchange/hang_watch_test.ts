import assert from "node:assert/strict";
import { HangWatch, type WatchedRank } from "../../src/exchange/hang_watch.ts";
import { describeStandstill } from "../../src/exchange/rank_place.ts";

const WAITING = "waiting for the other ranks";

function rank(rank: number, phase: WatchedRank["phase"], more: Partial<WatchedRank> = {}) {
  return { rank, name: `Rank ${rank} (pid ${rank})`, epoch: 2, step: 41, phase, ...more };
}

/** Looks four times a second; returns the seconds at which something was reported, and the reports. */
function look(watch: HangWatch, ranks: readonly WatchedRank[], from: number, to: number) {
  const reports: [number, string][] = [];
  for (let now = from; now < to; now += 0.25) {
    const report = watch.look(ranks, 1000 * now);
    if (report) reports.push([now - from, report]);
  }
  return reports;
}

/** A watch of two ranks that have computed before. */
function watchOf(ranks: readonly WatchedRank[]): HangWatch {
  const watch = new HangWatch(10_000);
  for (const phase of ["computing", WAITING] as const) {
    look(watch, ranks.map((one) => ({ ...one, phase, step: 40 })), 0, 0.25);
  }
  return watch;
}

Deno.test("HangWatch reports who is where after 10 s without any progress, and at growing intervals", () => {
  const ranks = [rank(0, WAITING), rank(1, "computing"), rank(2, WAITING)];
  const reports = look(watchOf(ranks), ranks, 100, 1000);
  assert.deepEqual(reports.map(([second]) => second), [10, 30, 90, 270, 810]);
  assert.equal(
    reports[1]![1],
    "Rank 1 (pid 1) has made no progress for 30 s: it is computing in epoch 2, step 41; " +
      "ranks 0 and 2 wait for it in epoch 2, step 41",
  );
});

Deno.test("HangWatch takes any rank's step, phase or arrival for progress", () => {
  const watch = watchOf([rank(0, WAITING), rank(1, "computing")]);
  for (let round = 0; round < 40; round++) {
    const ranks = [rank(0, WAITING), rank(1, "computing", { arrivals: round })];
    assert.deepEqual(look(watch, ranks, 100 + 3 * round, 103 + 3 * round), []);
  }
});

Deno.test("HangWatch gives a first computation 30 s and says why, and slow steps three times what they took", () => {
  const watch = new HangWatch(10_000);
  const computing = [rank(0, "computing"), rank(1, "computing")];
  const [[second, report], ...more] = look(watch, computing, 0, 80);
  assert.deepEqual([second, more], [30, []]);
  assert.match(
    report,
    /^Rank 0 .* computing in epoch 2, step 41; Rank 1 .* \(a first step takes longer, as it is traced and compiled\)$/,
  );
  // The other rank compiles for longer: that is no standstill of ranks that have computed.
  assert.deepEqual(look(watch, [rank(0, WAITING), rank(1, "computing")], 80, 105), []);
  // How long they compiled says nothing about the steps that follow.
  const slow = [rank(0, "computing", { step: 42 }), rank(1, WAITING, { step: 42 })];
  assert.deepEqual(look(watch, slow, 105, 114), []);
  const stuck = [rank(0, "updating its parameters", { step: 42 }), rank(1, WAITING, { step: 42 })];
  assert.deepEqual(look(watch, stuck, 114, 150).map(([second]) => second), [26.25]);
  const module = [rank(0, "computing", { sample: 7 })];
  const [[at, text]] = look(new HangWatch(10_000), module, 0, 12);
  assert.equal(at, 10, "in a data module it isn't computing");
  assert.match(text, /and its data module is making sample 7$/);
});

Deno.test("HangWatch doesn't count the time in which this process stood still, nor that between two epochs", () => {
  const ranks = [rank(0, WAITING), rank(1, "computing")];
  const watch = watchOf(ranks);
  assert.deepEqual(look(watch, ranks, 100, 105), []);
  assert.deepEqual(look(watch, ranks, 100_000, 100_003), []);
  assert.deepEqual(look(watch, ranks, 100_003, 100_006).length, 1, "but what it saw before");
  const other = watchOf(ranks);
  look(other, ranks, 100, 109);
  other.begin();
  assert.deepEqual(look(other, ranks, 109, 118), []);
});

Deno.test("a standstill in which nobody is at work names the coordinator, or the exchange", () => {
  const still = (all: readonly WatchedRank[]) =>
    describeStandstill(all.map((one) => ({ ...one, stillMs: 12_345 })));
  const granting = "waiting for the coordinator";
  assert.equal(
    still([rank(0, granting), rank(1, granting), rank(2, granting)]),
    "Ranks 0, 1 and 2 wait for the coordinator in epoch 2, step 41, for 12 s",
  );
  assert.equal(
    still([rank(0, WAITING), rank(1, WAITING, { step: 40 })]),
    "Ranks 0 and 1 wait for each other in the exchange (rank 0 in epoch 2, step 41, rank 1 in " +
      "epoch 2, step 40), for 12 s",
  );
  assert.equal(
    still([rank(0, WAITING)]),
    "Rank 0 waits in the exchange in epoch 2, step 41, for 12 s",
  );
});

Deno.test("a rank that waits no more, or sends no heartbeat, is the one that is waited for", () => {
  const still = (all: readonly WatchedRank[]) =>
    describeStandstill(all.map((one) => ({ ...one, stillMs: 12_000 })));
  assert.equal(
    still([rank(0, WAITING, { arrivals: 5 }), rank(1, WAITING, { arrivals: 4 })]),
    "Rank 1 (pid 1) has made no progress for 12 s: it is waiting for the other ranks in epoch 2, " +
      "step 41; rank 0 waits for it in epoch 2, step 41",
  );
  assert.match(
    still([rank(0, WAITING, { silentMs: 9_000 }), rank(1, WAITING, { silentMs: 100 })]),
    /^Rank 0 .* step 41, and has sent no heartbeat for 9 s; rank 1 waits for it in/,
  );
  const many = Array.from({ length: 7 }, (_, index) => rank(index, "computing"));
  assert.match(still(many), /Rank 3 \(pid 3\) .*; neither have ranks 4, 5 and 6$/);
});

import assert from "node:assert/strict";
import { LockstepError, UsageError } from "../../src/base/errors.ts";
import { WorkerLostError } from "../../src/cluster/lost_worker.ts";
import { blameFor, commonSteps, nextMembership } from "../../src/cluster/recover.ts";
import { recovering } from "../../src/cluster/recovering.ts";
import { RestartBudget } from "../../src/cluster/restart_budget.ts";
import { ExchangeError } from "../../src/exchange/silence.ts";
import { WorkerFailedError } from "../../src/protocol/command_channel.ts";

Deno.test("nextMembership() keeps the ranks and replaces the lost ones, or closes the gaps", () => {
  const lost = new Set([0, 2]);
  assert.deepEqual(nextMembership(4, lost, "restart"), {
    staying: [1, 3],
    ranks: { 0: 0, 1: 1, 2: 2, 3: 3 },
    replaced: [0, 2],
    worldSize: 4,
  });
  assert.deepEqual(nextMembership(4, lost, "shrink"), {
    staying: [1, 3],
    ranks: { 1: 0, 3: 1 },
    replaced: [],
    worldSize: 2,
  });
  for (const policy of ["restart", "shrink"] as const) {
    const { staying, ranks, replaced } = nextMembership(2, new Set(), policy);
    assert.deepEqual([staying, ranks, replaced], [[0, 1], { 0: 0, 1: 1 }, []], "only the exchange");
    assert.deepEqual(nextMembership(2, new Set([0, 1]), policy).staying, []);
  }
});

Deno.test("commonSteps() is the least of what ranks and books hold; a rank that hasn't begun holds what all held", () => {
  const books = { epoch: 3, startStep: 2, steps: 5 };
  const at = (steps: number, epoch = 3) => ({ epoch, steps });
  const cases: [Parameters<typeof commonSteps>[0], number][] = [
    [[at(4), at(5), at(4)], 4],
    [[at(6), at(6)], 5], // the books have not heard of the last step
    [[at(5)], 5],
    [[at(2), null], 2],
    [[at(2), at(7, 2)], 2], // the last steps of the epoch before
    [[at(5, 4), null], 2],
  ];
  for (const [held, steps] of cases) {
    assert.deepEqual(commonSteps(held, books), { epoch: 3, steps }, JSON.stringify(held));
  }
});

Deno.test("blameFor() knows whom a failure of workers concerns, and nobody for others", () => {
  const lost = (code: number) =>
    new WorkerLostError("gone", {
      ...{ rank: 1, pid: 5, place: undefined },
      exit: { index: 1, pid: 5, code, signal: null },
    });
  const silent = new WorkerLostError("silent", {
    ...{ rank: 1, pid: 5, exit: undefined, place: undefined },
  });
  assert.deepEqual([lost(2), lost(1), silent].map(blameFor), ["input", "process", "process"]);
  for (const blame of ["input", "exchange", "process"] as const) {
    assert.equal(blameFor(new WorkerFailedError(0, "x", { blame })), blame);
  }
  assert.equal(blameFor(new ExchangeError("silence")), "exchange");
  const others = [new LockstepError("x"), new UsageError("x"), new TypeError("x"), "x", undefined];
  for (const other of others) assert.equal(blameFor(other), undefined);
});

Deno.test("RestartBudget counts the restarts of the last hour, and gives up with all their reasons", () => {
  let now = 0;
  const budget = new RestartBudget(2, () => now);
  const loss = (reason: string) => ({ reasons: [reason], place: undefined });
  budget.take(loss("Rank 0 was killed"));
  now = 3_000_000;
  budget.take({ reasons: ["Rank 1 was killed", "Rank 2 was killed"], place: undefined });
  assert.equal(budget.taken, 2);
  assert.throws(() => budget.take(loss("Rank 3 was killed")), {
    name: "LockstepError",
    message: "Rank 3 was killed: the run gives up after 2 restarts within an hour (maxRestarts)\n" +
      "  before: Rank 0 was killed\n  before: Rank 1 was killed\n  before: Rank 2 was killed",
  });
  now = 3_599_999;
  assert.equal(budget.taken, 2);
  now = 3_600_000;
  assert.equal(budget.taken, 1, "the first one was an hour ago");
  budget.take(loss("Rank 3 was killed"));
  assert.throws(() => budget.take(loss("Rank 0 was killed")), /after 2 restarts/);
  now = 7_200_000;
  assert.equal(budget.taken, 0);
  assert.throws(() => new RestartBudget(0).take(loss("x")), /gives up after 0 restarts/);
});

Deno.test("RestartBudget refuses a restart after the same failure at the same step, whichever rank it hits", () => {
  const at = (step: number, ...reasons: string[]) => ({ reasons, place: { epoch: 2, step } });
  const failed = (rank: number, reason: string) => `Rank ${rank} failed: ${reason}`;
  const budget = new RestartBudget(9);
  budget.take(at(3, failed(1, "No such thing")));
  for (const rank of [1, 0]) {
    assert.throws(() => budget.take(at(3, "Rank 2 was killed", failed(rank, "No such thing"))), {
      message: "Rank 2 was killed: the same as before a restart, so another one would be in vain",
    });
  }
  budget.take(at(4, failed(1, "No such thing"))); // at another step
  budget.take(at(3, failed(1, "No such file")));
  budget.take({ reasons: [failed(1, "No such thing")], place: undefined });
  budget.take({ reasons: [failed(1, "No such thing")], place: undefined }); // nobody knows where
  const killed = "Rank 1 (pid 5) was killed by SIGKILL";
  budget.take(at(3, killed));
  budget.take(at(3, killed)); // by whom ever
  assert.equal(budget.taken, 7);
});

Deno.test("recovering() repeats an action as long as the cluster recovers", async () => {
  const causes: unknown[] = [];
  const stop = new AbortController();
  const cluster = {
    recover: (cause: unknown, { signal }: { signal?: AbortSignal | undefined }) => {
      causes.push(cause);
      assert.equal(signal, stop.signal);
      return causes.length < 3 ? Promise.resolve() : Promise.reject(new Error("no more"));
    },
  };
  let times = 0;
  const failing = (until: number) => () =>
    ++times < until ? Promise.reject(times) : Promise.resolve("done");
  assert.equal(await recovering(cluster, failing(3), stop.signal), "done");
  assert.deepEqual(causes, [1, 2]);
  await assert.rejects(recovering(cluster, failing(Infinity), stop.signal), /^Error: no more$/);
  assert.deepEqual(causes, [1, 2, 4]);
});

import assert from "node:assert/strict";
import type { ClusterOptions } from "../../src/cluster/assembly.ts";
import { Cluster } from "../../src/cluster/cluster.ts";
import type { SteppingCluster } from "../../src/cluster/drive_steps.ts";
import type { Recovered, WorkersLost } from "../../src/cluster/recover.ts";
import { RestartBudget } from "../../src/cluster/restart_budget.ts";
import { createSharedSegment } from "../../src/base/shared_memory.ts";
import type { ServerOptions } from "../../src/hosts/run_server.ts";
import { MEMBER_WORKER, requireWhole, trainMembers } from "../support/member_training.ts";
import type { Fault } from "../support/member_worker.ts";
import { natsServerProgram, startPlainServer } from "../support/nats_server.ts";

/** Bytes of a vector that each rank adds as a whole, in memory of its own. */
const SHORT = 4 * 1000;
/** The same where each rank adds its part, in memory that all have in common. */
const LONG = 4 * 400_000;

interface Case {
  readonly workers: number;
  readonly faults?: readonly Fault[];
  readonly policy?: "restart" | "shrink";
  readonly vectorBytes?: number;
  readonly maxRestarts?: number;
  readonly exchange?: "shared-memory" | "nats";
  readonly server?: ServerOptions;
  readonly signal?: AbortSignal;
  readonly onLost?: () => void;
}

/** Trains an epoch with workers some of which fail; returns what came of it. */
async function trained(
  { workers, faults = [], policy = "restart", vectorBytes = SHORT, maxRestarts = 3, ...more }: Case,
) {
  const lost: WorkersLost[] = [];
  const recovered: Recovered[] = [];
  const budget = new RestartBudget(maxRestarts);
  using cache = createSharedSegment("faults", 64);
  const options: ClusterOptions = {
    cache,
    name: "members",
    ...{ workers, threads: 1 },
    liveness: { joinTimeout: 30, lostAfter: 10, reportAfter: 30, stallAfter: 60 },
    server: more.server ?? { program: await natsServerProgram() },
    job: { vectorBytes, faults: faults.map((fault) => ({ ...fault })) },
    entry: MEMBER_WORKER,
    exchange: {
      kind: more.exchange ?? "shared-memory",
      ...{ dtype: "float32", vectorBytes, regions: 1, gradientBytes: vectorBytes },
    },
    recovery: {
      ...{ policy, budget },
      onLost: (loss) => {
        lost.push(loss);
        more.onLost?.();
      },
      onRecovered: (recovery) => recovered.push(recovery),
    },
    reporter: { warn: () => {}, workerLine: () => {} },
  };
  await using cluster = await Cluster.assemble(options) as Cluster & SteppingCluster;
  const before = cluster.workers.map(({ pid }) => pid);
  const results = await trainMembers(cluster, vectorBytes, { signal: more.signal });
  return {
    ...results,
    ...{ lost, recovered, before },
    after: cluster.workers.map(({ pid }) => pid),
    ranks: cluster.workers.map(({ rank }) => rank),
    restarts: budget.taken,
  };
}

const dies = (worker: number, at: string, generation: number, step?: number): Fault => ({
  ...{ worker, generation, at, how: "exit" },
  ...(step === undefined ? {} : { step }),
});

Deno.test("Cluster.recover() replaces a worker whose command failed: one loss, one restart", async () => {
  const fault: Fault = { worker: 1, generation: 0, at: "trainEpoch", step: 3, how: "throw" };
  const run = await trained({ workers: 2, faults: [fault], vectorBytes: LONG });
  requireWhole(run);
  assert.deepEqual(
    run.lost.map(({ during, generation, workers }) => [during, generation, workers]),
    [
      ["training", 0, [{
        ...{ rank: 1, pid: run.before[1], host: run.lost[0]!.workers[0]!.host },
        reason: "Rank 1 failed: No such thing",
      }]],
    ],
  );
  assert.equal(run.restarts, 1);
  assert.equal(run.after[0], run.before[0], "the other one stays");
  assert.notEqual(run.after[1], run.before[1]);
  const [{ seconds, ...recovery }] = run.recovered as [Recovered];
  assert.ok(seconds > 0);
  assert.deepEqual(recovery, {
    ...{ generation: 1, policy: "restart", steps: 3, ranks: [1], workers: 2, restarts: 1 },
  });
});

Deno.test("Cluster.recover() keeps the state whole when a replacement dies at any moment, and others do in the midst of it", async () => {
  const cases: { name: string; more: readonly Fault[]; losses: number[][]; workers: number }[] = [
    { name: "joining", more: [dies(1, "join", 1)], losses: [[1], [1]], workers: 2 },
    // What the replacement has written into the memory that it shares with the other one was the state.
    { name: "opening", more: [dies(1, "opened", 1)], losses: [[1], [1]], workers: 2 },
    { name: "loading", more: [dies(1, "loadState", 1)], losses: [[1], [1]], workers: 2 },
    { name: "paused", more: [dies(2, "pause", 0)], losses: [[1], [2]], workers: 3 },
    { name: "moved", more: [dies(0, "opened", 1)], losses: [[1], [0]], workers: 2 },
  ];
  await Promise.all(cases.map(async ({ name, more, losses, workers }) => {
    const run = await trained({
      ...{ workers, vectorBytes: LONG },
      faults: [dies(1, "trainEpoch", 0, 3), ...more],
    });
    requireWhole(run);
    assert.deepEqual(run.lost.map(({ workers }) => workers.map(({ rank }) => rank)), losses, name);
    assert.equal(run.recovered.length, 1, name);
    assert.deepEqual(run.recovered[0]!.ranks, [...new Set(losses.flat())].sort(), name);
    assert.equal(run.restarts, 2, name);
  }));
});

Deno.test("Cluster.recover() leaves out a second worker that is lost when others have their new ranks already", async () => {
  const run = await trained({
    ...{ workers: 3, policy: "shrink" },
    faults: [dies(0, "trainEpoch", 0, 2), dies(2, "opened", 1)],
  });
  requireWhole(run);
  assert.deepEqual(run.lost.map(({ workers }) => workers.map(({ rank }) => rank)), [[0], [2]]);
  assert.deepEqual([run.ranks, run.after], [[0], [run.before[1]]]);
  const [{ seconds: _, ...recovery }] = run.recovered as [Recovered];
  assert.deepEqual(recovery, {
    ...{ generation: 2, policy: "shrink", steps: 2, ranks: [0, 2], workers: 1, restarts: 0 },
  });
});

Deno.test("Cluster.recover() shrinks again and again, over NATS, and numbers stay with their workers", async () => {
  const run = await trained({
    ...{ workers: 3, policy: "shrink", exchange: "nats" },
    faults: [dies(0, "trainEpoch", 0, 1), dies(1, "trainEpoch", 1, 4)],
  });
  requireWhole(run);
  assert.deepEqual([run.ranks, run.after], [[0], [run.before[2]]]);
  assert.deepEqual(run.lost.map(({ workers: [{ pid }] }) => pid), [run.before[0], run.before[1]]);
  assert.deepEqual(run.recovered.map(({ generation, workers }) => [generation, workers]), [
    [1, 2],
    [2, 1],
  ]);
});

Deno.test("Cluster.recover() gives up for input, too many restarts, the loss of all, the signal, and a lost server", async () => {
  const first = dies(1, "trainEpoch", 0, 3);
  const hanging = [first, { ...dies(1, "loadState", 1), how: "hang" as const }];
  const stop = new AbortController();
  await using server = await startPlainServer();
  const after = (action: () => void) => () => void setTimeout(action, 2_500);
  const refused: [RegExp | { name: string }, Case][] = [
    [/^WorkerLostError: Rank 1 .*The config is no good/s, {
      ...{ workers: 2, faults: [first, { ...dies(1, "join", 1), how: "usage" }] },
    }],
    [
      /in epoch 1, step 4: the run gives up after 1 restart within an hour \(maxRestarts\)\n {2}before: Rank 1 .*step 3$/,
      { workers: 2, maxRestarts: 1, faults: [first, dies(1, "trainEpoch", 1, 4)] },
    ],
    // All are started again, whatever the policy is.
    [/gives up after 0 restarts/, {
      ...{ workers: 1, policy: "shrink", maxRestarts: 0, faults: [dies(0, "trainEpoch", 0, 3)] },
    }],
    [{ name: "AllWorkersLostError" }, { workers: 1, faults: [dies(0, "trainEpoch", 0, 3)] }],
    [/^Error: enough$/, {
      ...{ workers: 2, faults: hanging, signal: stop.signal },
      onLost: after(() => stop.abort(new Error("enough"))),
    }],
    [{ name: "ServerGoneError" }, {
      ...{ workers: 2, faults: hanging },
      server: { foreign: { url: server.url }, reconnectTimeout: 1 },
      onLost: after(() => server.signal("SIGKILL")),
    }],
  ];
  await Promise.all(refused.map(([error, options]) => assert.rejects(trained(options), error)));
});

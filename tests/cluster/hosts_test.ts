import assert from "node:assert/strict";
import { type AgentSettings, runAgent } from "../../src/agent/agent.ts";
import { Cluster } from "../../src/cluster/cluster.ts";
import type { SteppingCluster } from "../../src/cluster/drive_steps.ts";
import type { Recovered, WorkersLost } from "../../src/cluster/recover.ts";
import { RestartBudget } from "../../src/cluster/restart_budget.ts";
import { MEMBER_WORKER, requireWhole, trainMembers } from "../support/member_training.ts";
import type { Fault } from "../support/member_worker.ts";
import { natsServerProgram, startPlainServer } from "../support/nats_server.ts";

interface Case {
  readonly layout: readonly number[];
  readonly vectorBytes: number;
  readonly exchange: "shared-memory" | "nats";
  readonly faults?: readonly Fault[];
  readonly policy?: "restart" | "shrink";
  readonly joinTimeout?: number;
  /** Called after each step, with the agents and a way to start another one. */
  readonly onStep?: (step: number, agents: Agent[], start: (index: number) => Agent) => void;
}

interface Agent {
  readonly stop: AbortController;
  readonly over: Promise<unknown>;
}

/** Trains an epoch on several hosts, whose agents are in this process; returns what came of it. */
async function trained(
  { layout, vectorBytes, exchange, faults = [], policy = "restart", joinTimeout = 20, onStep }:
    Case,
) {
  await using server = await startPlainServer();
  const program = await natsServerProgram();
  const lost: WorkersLost[] = [];
  const recovered: Recovered[] = [];
  const warnings: string[] = [];
  const dataServer = {
    ...{ program, host: "127.0.0.1", addresses: ["127.0.0.1"] },
    onWarning: (message: string) => void warnings.push(message),
  };
  const start = (index: number): Agent => {
    const stop = new AbortController();
    const settings: AgentSettings = {
      ...{ servers: [{ url: server.url }], lobbyKey: "lobby", joinTimeout: 20, dataServer },
      ...{ index, progress: () => {}, entry: MEMBER_WORKER, signal: stop.signal },
      onInfo: () => {},
      onWarning: (message) => void warnings.push(message),
    };
    return { stop, over: runAgent(settings).catch((error) => error) };
  };
  const agents = layout.slice(1).map((_, at) => start(at + 1));
  const workers = layout.reduce((sum, count) => sum + count, 0);
  const cluster = await Cluster.assemble({
    name: "hosts",
    ...{ workers, threads: 1, entry: MEMBER_WORKER },
    liveness: { joinTimeout: 30, lostAfter: 30, reportAfter: 30, stallAfter: 60 },
    server: { foreign: { url: server.url } },
    job: { vectorBytes, faults: faults.map((fault) => ({ ...fault })) },
    exchange: {
      kind: exchange,
      ...{ dtype: "float32", vectorBytes, regions: 1, gradientBytes: vectorBytes },
    },
    hosts: {
      ...{ layout, joinTimeout, device: "cpu", threadsPerWorker: 1, lobbyKey: "lobby" },
      ...{ joinCommand: () => "deno task worker …", dataServer },
    },
    recovery: {
      ...{ policy, budget: new RestartBudget(3) },
      onLost: (loss) => void lost.push(loss),
      onRecovered: (recovery) => void recovered.push(recovery),
    },
    reporter: { warn: (message) => void warnings.push(message), workerLine: () => {} },
  }) as Cluster & SteppingCluster;
  try {
    const results = await trainMembers(cluster, vectorBytes, {
      onStep: (step) => onStep?.(step, agents, start),
    });
    return {
      ...results,
      ...{ lost, recovered, warnings },
      hosts: cluster.workers.map(({ hostIndex }) => hostIndex),
    };
  } finally {
    await cluster[Symbol.asyncDispose]();
    agents.forEach(({ stop }) => stop.abort(new Error("over")));
    await Promise.all(agents.map(({ over }) => over));
  }
}

Deno.test("workers of several hosts exchange over the coordinator's server, and a lost one is replaced where it was", async () => {
  const fault: Fault = { worker: 2, generation: 0, at: "trainEpoch", step: 3, how: "exit" };
  const run = await trained({
    layout: [1, 2],
    vectorBytes: 4000,
    exchange: "nats",
    faults: [fault],
  });
  requireWhole(run);
  assert.deepEqual(run.hosts, [0, 1, 1]);
  assert.deepEqual(run.lost.map(({ workers }) => workers.map(({ rank }) => rank)), [[2]]);
  assert.deepEqual(run.recovered.map(({ ranks }) => ranks), [[2]]);
});

Deno.test("a host whose agent ends is a set of lost workers: replaced when another agent joins in its place, or left out", async () => {
  const leave = (step: number, agents: Agent[]) => {
    if (step === 2) agents[0]!.stop.abort(new Error("the test stops it"));
  };
  const [back, shrunk] = await Promise.all([
    trained({
      ...{ layout: [1, 2, 1], vectorBytes: 4000, exchange: "nats" },
      onStep: (step, agents, start) => {
        leave(step, agents);
        if (step === 2) agents[0]!.over.then(() => agents.push(start(1)));
      },
    }),
    trained({
      ...{ layout: [1, 1], vectorBytes: 4000, exchange: "nats", policy: "shrink" },
      onStep: leave,
    }),
  ]);
  requireWhole(back);
  assert.deepEqual(back.hosts, [0, 1, 1, 2]);
  assert.deepEqual(back.recovered.map(({ ranks }) => ranks), [[1, 2]]);
  const [{ workers: [lost] }] = back.lost as [WorkersLost];
  assert.match(
    lost!.reason,
    /^Rank 1 \(pid \d+\) is lost with host 1 \(.+\), which was stopped in epoch 1, step \d/,
  );
  assert.ok(
    back.warnings.some((line) =>
      /^Host 1 \(.+\) is lost: it was stopped; where it comes back, run there/.test(line)
    ),
  );
  assert.deepEqual(shrunk.reported, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(shrunk.hosts, [0]);
});

Deno.test("a host that doesn't come back in time ends the run, with its name and the remedy", async () => {
  const run = trained({
    ...{ layout: [1, 1], vectorBytes: 4000, exchange: "nats", joinTimeout: 15 },
    onStep: (step, agents) => {
      if (step === 1) agents[0]!.stop.abort(new Error("the test stops it"));
    },
  });
  await assert.rejects(run, {
    name: "LockstepError",
    message: /^Host 1 \(.+\) hasn't come back within 15 s \(hosts\.joinTimeout\): start its agent/,
  });
});

Deno.test("workers of several hosts sum over the hosts' own servers, also after a loss, and give the same bits", async () => {
  const fault: Fault = { worker: 2, generation: 0, at: "trainEpoch", step: 3, how: "exit" };
  const long = { vectorBytes: 4 * 400_000, exchange: "shared-memory" } as const;
  const [lost, uneven] = await Promise.all([
    trained({ ...long, layout: [1, 2], faults: [fault] }),
    trained({ ...long, layout: [0, 2, 1] }),
  ]);
  requireWhole(lost);
  requireWhole(uneven);
  assert.deepEqual(lost.recovered.map(({ ranks }) => ranks), [[2]]);
  assert.deepEqual(uneven.hosts, [1, 1, 2]);
});

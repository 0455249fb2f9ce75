import assert from "node:assert/strict";
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import { readHistory } from "../../src/records/history.ts";
import { eventually } from "../support/eventually.ts";
import { type HostRun, type HostsConfigInput, startHostRun } from "../support/host_runs.ts";
import { makeImages } from "../support/images.ts";
import { cannotUseNamespaces, type Hosts, startHosts } from "../support/namespaces.ts";
import { otherClock } from "../support/other_clock.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  lastState,
  newestRun,
  relativeDifference,
  startTrain,
  tinyConfig,
} from "../support/tiny_run.ts";
import { moduleIn, WIDE_MODEL, writeModules } from "../support/user_modules.ts";

const problem = cannotUseNamespaces({ relay: true });
if (problem) console.log(`Skipped: no hosts in namespaces: ${problem}`);

const EPOCHS = 5;
const LOST_AFTER = 6;
const SLOW = { rateMbit: 100, delayMs: 1, relay: true };

/** Makes images and a model in the folder that all hosts see. */
async function makeInputs(hosts: Hosts): Promise<string> {
  const root = join(hosts.shared, "images");
  await makeImages(root, { train: 16 });
  await writeModules(hosts.shared, { model: WIDE_MODEL });
  return root;
}

/**
 * A config of runs whose steps depend on all ranks: BatchNorm's moments meet, and gradients accumulate. Each host would
 * give its workers its own cores: as many threads everywhere are what makes the bits those of one host.
 */
function configOf(
  hosts: Hosts,
  workers: readonly number[],
  changes: Parameters<typeof tinyConfig>[1] = {},
): HostsConfigInput {
  const total = workers.reduce((sum, count) => sum + count, 0);
  const train = {
    ...{ epochs: EPOCHS, batchSize: 8, accumulationSteps: 2, syncBatchNorm: true, momentum: 0.9 },
    lr: 0.001,
  };
  return {
    ...tinyConfig(join(hosts.shared, "images"), {
      ...{ workers: total, liveness: { lostAfter: LOST_AFTER }, ...changes },
      engine: { threadsPerWorker: 1 },
      model: { module: moduleIn(hosts.shared, "model") },
      train: { ...train, ...changes.train },
    }),
    hosts: { count: workers.length, workers: [...workers] },
  };
}

/** Trains the config on one host, without namespaces. */
async function oneHost(hosts: Hosts, { hosts: _, ...config }: HostsConfigInput) {
  const folder = join(hosts.shared, "one");
  await Deno.mkdir(folder);
  await using run = await startTrain(folder, { ...config, out: join(folder, "runs") });
  const { code, stdout, stderr } = await run.result;
  assert.equal(code, 0, stdout + stderr);
  return await lastState(await newestRun(join(folder, "runs")));
}

async function succeed(run: HostRun) {
  const { code } = await run.coordinator.result;
  assert.equal(code, 0, run.output());
  const folder = await run.folder();
  return { state: await lastState(folder), history: await readHistory(folder) };
}

const inEpoch = (run: HostRun, epoch: number) =>
  run.coordinator.seen(new RegExp(`epoch +${epoch}/${EPOCHS}`));

/** Clocks that are ten minutes ahead and seven behind; none, with a printed reason, without a compiler. */
async function otherClocks(hosts: Hosts) {
  const clocks = await Promise.all([600, -420].map(async (seconds) => {
    const folder = join(hosts.shared, `clock${seconds}`);
    await Deno.mkdir(folder);
    return await otherClock(folder, String(seconds));
  }));
  if (clocks[0]) {
    const { stdout } = await hosts.run(1, ["date", "+%s"], { env: clocks[0] });
    assert.ok(Math.abs(Number(stdout) - Date.now() / 1000 - 600) < 60, "the clock is ahead");
  }
  return clocks;
}

Deno.test({
  name:
    "a run over hosts has all bits of one host: through uneven workers, a slow link that loses frames, clocks minutes apart, a partition that heals, and the death of a host that comes back",
  ignore: problem !== undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      await using hosts = await startHosts(3, { folder, ...SLOW, lossRate: 0.01 });
      await makeInputs(hosts);
      const config = configOf(hosts, [0, 2, 1]);
      const [expected] = await Promise.all([
        oneHost(hosts, config),
        (async () => {
          const env = [undefined, ...await otherClocks(hosts)];
          await using run = await startHostRun(hosts, "disturbed", config, { env });
          await inEpoch(run, 2);
          await hosts.part(2);
          await delay(1_500);
          await hosts.heal(2);
          const { code } = await run.coordinator.result;
          assert.equal(code, 0, run.output());
        })(),
      ]);
      const disturbed = await newestRun(join(hosts.shared, "disturbed", "runs"));
      assert.deepEqual((await lastState(disturbed)).sha256, expected.sha256);
      assert.equal((await readHistory(disturbed)).recoveries, undefined);

      await using killed = await startHostRun(hosts, "killed", config);
      await inEpoch(killed, 2);
      await hosts.kill(2);
      await killed.coordinator.seen(/Host 2 \(host2\) is lost/);
      await hosts.restart(2);
      killed.join(2);
      const recovered = await succeed(killed);
      assert.deepEqual(recovered.state.sha256, expected.sha256);
      assert.deepEqual(
        recovered.history.recoveries?.map(({ policy, ranks }) => ({ policy, ranks })),
        [{ policy: "restart", ranks: [2] }],
        killed.output(),
      );

      const narrow = { ...configOf(hosts, [2, 1]), nats: { gradientDtype: "bfloat16" as const } };
      await using narrowed = await startHostRun(hosts, "narrowed", narrow);
      const { model } = (await succeed(narrowed)).state;
      const difference = relativeDifference(model, expected.model);
      assert.ok(difference > 0 && difference < 0.01, `bfloat16: ${difference}`);
    }),
});

Deno.test({
  name:
    "a run goes on without a host that dies and without one that is cut off, and all workers end when their coordinator's host dies",
  ignore: problem !== undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      await using hosts = await startHosts(3, { folder, ...SLOW });
      await makeInputs(hosts);
      const endless = { epochs: 10_000, accumulationSteps: 1, syncBatchNorm: false };
      const changes = { onWorkerLost: "shrink" as const, train: endless };
      {
        await using shrunk = await startHostRun(
          hosts,
          "shrunk",
          configOf(hosts, [1, 1, 1], changes),
        );
        await shrunk.coordinator.seen(/epoch +2\//);
        await hosts.kill(2);
        await shrunk.coordinator.seen(/goes on without rank 2, with 2 workers/);
        await hosts.part(1);
        await shrunk.coordinator.seen(/goes on without rank 1, with 1 worker/);
        await onlyAgent(hosts, 1);
        shrunk.coordinator.kill("SIGINT");
        assert.equal((await shrunk.coordinator.result).code, 130, shrunk.output());
        const { recoveries } = await readHistory(await shrunk.folder());
        assert.deepEqual(
          recoveries?.map(({ policy, workers }) => ({ policy, workers })),
          [{ policy: "shrink", workers: 2 }, { policy: "shrink", workers: 1 }],
        );
      }
      await hosts.heal(1);

      await using orphaned = await startHostRun(
        hosts,
        "orphaned",
        configOf(hosts, [1, 1], changes),
      );
      await orphaned.coordinator.seen(/epoch +2\//);
      const killed = performance.now();
      await hosts.kill(0);
      await onlyAgent(hosts, 1);
      const seconds = (performance.now() - killed) / 1000;
      console.log(`The workers ended ${seconds.toFixed(1)} s after their coordinator's host`);
      const agent = orphaned.agents[1]!;
      await agent.seen(/coordinator|nats-server at 10\.77\.0\.1:4222/);
      agent.kill("SIGINT");
      assert.equal((await agent.result).code, 130, orphaned.output());
    }),
});

/** Waits until a host has nothing of a run but its agent, which waits for the coordinator. */
const onlyAgent = (hosts: Hosts, host: number) =>
  eventually(async () => {
    const { stdout } = await hosts.run(host, ["ps", "-e", "-o", "comm=,args="]);
    const programs = stdout.split("\n").filter((line) => /^(deno|nats-server)/.test(line));
    assert.equal(programs.length, 1, stdout);
  });

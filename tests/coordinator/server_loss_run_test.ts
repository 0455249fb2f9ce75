/**
 * Runs whose nats-server dies, is replaced, or stays away.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { batchNormModel } from "../support/batch_norm_module.ts";
import { withVariables } from "../support/environment.ts";
import { makeImages } from "../support/images.ts";
import { startChaoticNetwork } from "../support/chaotic_network.ts";
import { delay } from "../../src/base/async.ts";
import { eventually } from "../support/eventually.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { commandLineOf, descendantsOf, isRunning } from "../support/processes.ts";
import { killServerAt, type Place } from "../support/server_killer.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, startTrain, tinyConfig, type TrainProcess } from "../support/tiny_run.ts";

type Changes = NonNullable<Parameters<typeof tinyConfig>[1]>;

/** Trains, and kills the server at each of the places. */
async function trained(root: string, changes: Changes, places: readonly Place[]) {
  const warnings: string[] = [];
  using killer = killServerAt(places);
  const { folder, history } = await train(tinyConfig(root, { workers: 2, ...changes }), {
    reporter: { ...silentReporter(), warn: (line) => void warnings.push(line) },
  });
  const { sha256 } = await lastState(folder);
  const { losses, epochs } = history;
  const numbers = epochs.map((
    { train: { loss, accuracy }, validation },
  ) => [loss, accuracy, validation]);
  return { sha256, losses, numbers, warnings, killer };
}

/** The images and the model of all runs, and those whose servers live, by what they change. */
const shared = { folder: "", calm: new Map<Changes, ReturnType<typeof trained>>() };

Deno.test.beforeAll(async () => {
  shared.folder = await Deno.makeTempDir({ prefix: "lockstep-server-loss-" });
  await makeImages(join(shared.folder, "images"));
});

Deno.test.afterAll(() => Deno.remove(shared.folder, { recursive: true }));

/** Compares a run whose server dies at all places with one whose server and workers live. */
async function assertUndisturbed(
  own: Changes,
  places: readonly Place[],
  faultPoint?: string,
): Promise<void> {
  const root = join(shared.folder, "images");
  const changes = { ...own, model: await batchNormModel(shared.folder) };
  const calmly = shared.calm.get(own) ?? trained(root, changes, []);
  shared.calm.set(own, calmly);
  const calm = await calmly;
  using _point = withVariables({ [FAULT_VARIABLE]: faultPoint });
  const struck = await trained(root, changes, places);
  const sorted = (all: readonly Place[]) => all.map((place) => JSON.stringify(place)).sort();
  assert.deepEqual(sorted(struck.killer.killed), sorted(places), "the server died everywhere");
  assert.deepEqual(struck.sha256, calm.sha256);
  assert.deepEqual(struck.numbers, calm.numbers);
  assert.deepEqual(
    struck.losses.map(({ examples, loss }) => [examples, loss]),
    calm.losses.map(({ examples, loss }) => [examples, loss]),
  );
  const machine = /heartbeat|progress/; // a busy machine's workers may be silent for a while
  assert.deepEqual(calm.warnings.filter((line) => !machine.test(line)), []);
  const { warnings, killer: { pids } } = struck;
  const restarted = warnings.filter((line) =>
    /^nats-server \(pid \d+\) was killed by SIGKILL: it is started again at its port$/.test(line)
  );
  assert.equal(restarted.length, places.length, warnings.join("\n"));
  assert.ok(
    warnings.some((line) =>
      /^The nats-server at .* is back after \d\.\d s: the run goes on$/.test(line)
    ),
  );
  assert.equal(pids.length, places.length + 1);
  for (const pid of pids) assert.ok(!await isRunning(pid));
}

const THROUGH_MEMORY: Changes = { exchange: "shared-memory", train: { epochs: 1 } };
const OVER_NATS: Changes = {
  exchange: "nats",
  nats: { gradientDtype: "float16" },
  train: { epochs: 1, syncBatchNorm: true },
};

Deno.test("a server that is killed at any place of a run is restarted, and no bit changes (shared memory)", () =>
  assertUndisturbed(THROUGH_MEMORY, [
    { kind: "welcome" },
    { kind: "piece" }, // of the initial state
    { kind: "command", name: "trainEpoch" },
    { kind: "pull" }, // of the trained state
    { kind: "command", name: "validate" },
  ]));

Deno.test("a server that is killed with gradients on their way is restarted, and no step is lost or taken twice (NATS)", () =>
  assertUndisturbed(OVER_NATS, [
    { kind: "sum" }, // of BatchNorm's moments
    { kind: "reduced", step: 0 },
    { kind: "result", step: 1 },
    { kind: "command", name: "validate" },
  ]));

Deno.test("a server that dies with a worker, and again while that is replaced, costs no bit", () =>
  assertUndisturbed(OVER_NATS, [
    { kind: "reduced", step: 1 },
    { kind: "command", name: "pause" },
    { kind: "command", name: "readState" },
    { kind: "welcome", generation: 1 },
    { kind: "command", name: "openExchange", generation: 1 },
  ], "between-chunks:1:1:1"));

/** The nats-server that a process has started. */
async function serverOf(pid: number): Promise<number> {
  let found: number | undefined;
  await eventually(async () => {
    for (const child of await descendantsOf(pid)) {
      if (/^[^\0]*\/nats-server\0/.test(await commandLineOf(child))) found = child;
    }
    assert.ok(found);
  });
  return found!;
}

/** Kills the server of a process, and takes its port before that process can start another one. */
async function takePort(pid: number, port: number): Promise<Deno.Listener> {
  const server = await serverOf(pid);
  Deno.kill(pid, "SIGSTOP");
  try {
    Deno.kill(server, "SIGKILL");
    for (;;) {
      try {
        return Deno.listen({ hostname: "127.0.0.1", port });
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      }
      await delay(5);
    }
  } finally {
    Deno.kill(pid, "SIGCONT");
  }
}

/** Runs a training until its server is lost for good. */
async function endOf(
  folder: string,
  name: string,
  changes: Changes,
  act: (run: TrainProcess) => Promise<void>,
): Promise<string> {
  const config = tinyConfig(join(folder, "images"), { name, workers: 2, ...changes });
  await Deno.mkdir(join(folder, name));
  await using run = await startTrain(join(folder, name), {
    ...config,
    out: join(folder, name, "runs"),
    train: { ...config.train, epochs: 100_000 },
  });
  await run.seen(/epoch +1\//);
  await act(run);
  const { code, stderr } = await run.result;
  assert.equal(code, 1, stderr);
  assert.doesNotMatch(stderr, /^\s+at .*\.ts/m);
  assert.doesNotMatch(stderr, /[Rr]ank \d/, `no worker is blamed: ${stderr}`);
  return stderr;
}

function countEpochs(run: TrainProcess): number {
  return run.output().match(/^epoch /gm)?.length ?? 0;
}

Deno.test("a server that stands still is replaced; one that dies too often, can't start, or stays away ends the run", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "images"));
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    const foreign = { server: await startPlainServer() };
    const { url } = foreign.server;
    await using behind = await startPlainServer();
    await using network = startChaoticNetwork(behind.url, () => "pass");
    const [again, taken, away, parted] = await Promise.all([
      endOf(folder, "again", { nats: { maxRestarts: 1 } }, async (run) => {
        Deno.kill(await serverOf(run.pid), "SIGSTOP");
        await run.seen(/The nats-server at .* is back after/);
        Deno.kill(await serverOf(run.pid), "SIGTERM");
      }),
      endOf(folder, "taken", { nats: { port, reconnectTimeout: 2 } }, async (run) => {
        using _other = await takePort(run.pid, port);
        await run.result;
      }),
      endOf(
        folder,
        "away",
        { exchange: "nats", nats: { url, reconnectTimeout: 15 } },
        async (run) => {
          await foreign.server[Symbol.asyncDispose]();
          await run.seen(
            /Warning: The nats-server at .* is gone: the run waits for it, up to 15 s/,
          );
          foreign.server = await startPlainServer("", Number(new URL(url).port));
          await run.seen(/Warning: The nats-server at .* is back after \d\.\d s: the run goes on/);
          await foreign.server[Symbol.asyncDispose]();
        },
      ),
      endOf(
        folder,
        "parted",
        { exchange: "nats", nats: { url: network.url, reconnectTimeout: 20 } },
        async (run) => {
          const parted = network.part();
          await run.seen(/Warning: The nats-server at .* doesn't answer: it stands still/);
          const epochs = countEpochs(run);
          parted[Symbol.dispose]();
          await eventually(() => assert.ok(countEpochs(run) > epochs + 1));
          using _parted = network.part();
          await run.result;
        },
      ),
    ]);
    assert.match(
      again,
      /^error: nats-server \(pid \d+\) exited with code 0 \(.*\), and was started again 1 time within the last hour: find out what ends it, or raise nats\.maxRestarts, and go on with --resume$/m,
    );
    assert.match(
      taken,
      new RegExp(
        `^error: nats-server \\(pid \\d+\\) was killed by SIGKILL, and couldn't be started again within 2 s \\(nats\\.reconnectTimeout\\): Port ${port} is in use`,
        "m",
      ),
    );
    assert.match(
      away,
      /^error: The nats-server at 127\.0\.0\.1:\d+ has been gone for \d+ s: start it again, and go on with --resume \(nats\.reconnectTimeout says for how long a run waits\)$/m,
    );
    assert.match(
      parted,
      /^error: The nats-server at 127\.0\.0\.1:\d+ has stood still for \d+ s: start it again, and go on with --resume /m,
    );
  }));

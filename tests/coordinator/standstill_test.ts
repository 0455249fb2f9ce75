import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { delay } from "../../src/base/async.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { Rendezvous } from "../../src/cluster/rendezvous.ts";
import { spawnWorkers } from "../../src/hosts/spawn.ts";
import { Link } from "../../src/protocol/link.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { startCoordinator, TEST_WORKER } from "../support/coordinator_rig.ts";
import { eventually } from "../support/eventually.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { makeImages } from "../support/images.ts";
import { descendantsOf, workersAmong } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, startTrain, tinyConfig } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

/** A data module whose 18th training sample does something else. */
const dataWith = (statement: string) => `
const image = { width: 12, height: 12, data: new Uint8Array(144) };
const sample = (index) => {
  if (index === 17) { ${statement} }
  return { image, label: index % 2 };
};
export const createDataset = () => ({
  classes: ["a", "b"], train: { length: 24, sample }, val: { length: 8, sample: (index) => ({ image, label: index % 2 }) },
});
`;

/** Trains with a data module, and stops when a line matches, or when the run ends by itself. */
async function trainWith(statement: string, until?: RegExp): Promise<string> {
  let output = "";
  await withTemporaryFolder(async (folder) => {
    await writeModules(folder, { data: dataWith(statement) });
    const config = moduleConfig(folder, { workers: 2 });
    await using run = await startTrain(folder, { ...config, out: join(folder, "runs") });
    if (until) {
      await run.seen(until);
      run.kill("SIGINT");
    }
    const { stderr, code } = await run.result;
    assert.equal(code, until ? 130 : 1);
    output = stderr;
  });
  return output;
}

Deno.test("a rank whose module hangs or loops is named after 10 s, with what it does", async () => {
  const named =
    /Rank (\d) \(pid \d+ on .*\) has made no progress for \d+ s: it is .* in epoch 1, step \d+, and its data module is making sample 17/;
  const outputs = await Promise.all([
    trainWith("return new Promise(() => {});", named),
    trainWith("for (;;);", named),
  ]);
  for (const output of outputs) assert.match(output, named);
  assert.match(outputs[0], /waiting for its batch/);
});

Deno.test("a module that calls Deno.exit() is named in one sentence", async () => {
  assert.match(
    await trainWith("Deno.exit(3);"),
    /error: Rank \d failed: Image "train#17" can't be used: sample\(17\) of file:.*data\.ts:\d+:\d+ threw: Deno\.exit\(3\) was called: a module must not end its worker/,
  );
});

Deno.test("a server that stands still is named, not the ranks that can't be heard, and the run goes on with it", async () => {
  let replaced = 0;
  await using run = await startCoordinator({
    ...{ count: 2, lostAfter: 4, reconnectTimeout: 20 },
    replaceServer: () => void replaced++,
  });
  const { pid } = run.rig.broker;
  const standStill = async (until: () => void) => {
    Deno.kill(pid, "SIGSTOP");
    await eventually(until).finally(() => Deno.kill(pid, "SIGCONT"));
  };
  await standStill(() => assert.ok(run.warnings.length > 0 && replaced > 0));
  await run.commands.callAll("echo");
  assert.equal(run.lost.aborted, false);
  assert.equal(run.warnings.length, 1);
  assert.match(run.warnings[0], /^The nats-server at 127\.0\.0\.1:\d+ doesn't answer: it stands/);
  await standStill(() => assert.ok(run.lost.aborted));
  assert.match(
    run.lost.reason.message,
    /^The nats-server at 127\.0\.0\.1:\d+ has stood still for \d+ s: start it again/,
  );
});

Deno.test("workers that start while their server starts anew join it", async () => {
  const first = await startPlainServer();
  const port = Number(new URL(first.url).port);
  const run = makeRunIdentity("restart");
  await using link = await Link.open(first, run, "coordinator");
  await first[Symbol.asyncDispose]();
  await using group = spawnWorkers({
    ...{ count: 2, run, nats: { url: first.url }, threads: 1, lostAfter: 20, entry: TEST_WORKER },
  });
  await delay(1_500); // they find nobody
  await using _second = await startPlainServer("", port);
  await eventually(() => assert.equal(link.serverGone, false));
  const rendezvous = await Rendezvous.open(link, {
    ...{ worldSize: 2, joinTimeout: 20, spawned: group.workers },
  });
  const workers = await rendezvous.gather(() => ({ job: {} }));
  assert.deepEqual(workers.map(({ pid }) => pid), group.workers.map(({ pid }) => pid));
  rendezvous.close();
});

Deno.test("the step named at a death is the one that the ranks were in", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const train = { epochs: 500, logEverySteps: 1 };
    const config = tinyConfig(root, { workers: 2, train, onWorkerLost: "fail" });
    await using run = await startTrain(folder, config);
    await run.seen(/epoch +3\//);
    const [worker] = await workersAmong(await descendantsOf(run.pid));
    Deno.kill(worker, "SIGKILL");
    const { stderr } = await run.result;
    const validating = /was killed by SIGKILL.* in the validation in epoch (\d+)/.exec(stderr);
    const training = /was killed by SIGKILL.* in epoch (\d+), step (\d+)/.exec(stderr);
    const [epoch, step = Infinity] = (validating ?? training)!.slice(1).map(Number);
    const metrics = await Deno.readTextFile(
      join(await newestRun(join(folder, "runs")), "metrics.jsonl"),
    );
    const points = metrics.trim().split("\n").map((line) =>
      JSON.parse(line) as { epoch: number; step: number }
    );
    const last = points.at(-1)!;
    const steps = Math.max(...points.map(({ step }) => step));
    // A step counts from 0 in messages: the one that goes on has the number of those that are done.
    const ahead = (epoch - last.epoch) * steps + Math.min(step, steps) - last.step;
    // The ranks may still be updating after an epoch's last step, which is on record by then.
    const isAfterLast = ahead === -1 && last.step === steps;
    assert.ok(
      ahead === 0 || ahead === 1 || isAfterLast,
      `step ${step} of epoch ${epoch}, done: ${last.step} of ${last.epoch}`,
    );
  }));

const canUnshare = Deno.build.os === "linux" &&
  (await new Deno.Command("unshare", { args: ["--pid", "--fork", "true"], stderr: "null" })
    .output().catch(() => ({ success: false }))).success;
if (!canUnshare) {
  console.log("No pid namespaces here: the fallback of `exchange: auto` isn't tested");
}

/** Trains in a pid namespace without a /proc of its own: a process's pid there is another one's, or nobody's. */
async function runUnshared(path: string, config: ConfigInput) {
  await Deno.writeTextFile(path, stringify(config));
  const cli = new URL("../../src/cli.ts", import.meta.url).pathname;
  const own = new URL("../../deno.json", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      ...["--pid", "--fork", Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all"],
      ...["--config", own, cli, "train", "--config", path],
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test({
  name: "exchange: auto falls back to NATS where a worker can't map the shared memory",
  ignore: !canUnshare,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      const [auto, strict] = await Promise.all(
        (["auto", "shared-memory"] as const).map((exchange) => {
          const own = { exchange, workers: 2, name: exchange, train: { epochs: 1 } } as const;
          return runUnshared(join(folder, `${exchange}.yaml`), tinyConfig(root, own));
        }),
      );
      assert.equal(auto.code, 0, auto.stderr);
      assert.match(
        auto.stderr,
        /Warning: Rank 0 can't use the run's shared memory \(.*\): gradients go over NATS/,
      );
      assert.match(auto.stdout, /Done in/);
      assert.equal(strict.code, 1);
      assert.match(
        strict.stderr,
        /error: Rank 0 can't use the run's shared memory .*set exchange to/,
      );
    }),
});

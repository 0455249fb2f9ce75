import assert from "node:assert/strict";
import { join } from "node:path";
import { type MetricsPoint, type RunLogger, train } from "../../mod.ts";
import { delay } from "../../src/base/async.ts";
import { exists } from "../../src/base/paths.ts";
import { RunWatch } from "../../src/coordinator/listeners/run_watch.ts";
import { RunEvents } from "../../src/events/run_events.ts";
import { readHistory } from "../../src/records/history.ts";
import { type LiveStatus, readLiveStatus } from "../../src/records/live_status.ts";
import { readMetrics } from "../../src/records/metrics_log.ts";
import { readEventFile } from "../support/event_reader.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const placeOf = ({ epoch, step }: { epoch: number; step: number }) => 1000 * epoch + step;

function assertIncreasing(numbers: readonly number[], what: string): void {
  numbers.slice(1).forEach((number, index) => {
    assert.ok(number > numbers[index], `${what}: ${numbers[index]}, then ${number}`);
  });
}

Deno.test("train() tells loggers what metrics.jsonl holds: losses of the history, and times that fit the clock", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const points: MetricsPoint[] = [];
    const seen: string[] = [];
    const logger: RunLogger = {
      metrics: (point) => void points.push(point),
      validation: ({ epoch, step }) => void seen.push(`validation ${epoch}/${step}`),
      epoch: ({ epoch }) => void seen.push(`epoch ${epoch}`),
      picture: (name, png) => void seen.push(`${name} ${png[1] === 0x50}`),
      close: () => void seen.push("closed"),
    };
    const started = performance.now();
    const config = tinyConfig(root, {
      workers: 2,
      liveness: { lostAfter: 60 },
      train: { epochs: 3, batchSize: 4 },
    });
    const { folder: run, history } = await train(config, { loggers: [() => logger] });
    const elapsed = performance.now() - started;
    assert.deepEqual(await readMetrics(run), points);
    const short = ({ epoch, step, examples, loss }: MetricsPoint) => ({
      examples,
      epoch,
      step,
      loss,
    });
    assert.deepEqual(points.map(short), history.losses);
    assert.deepEqual(seen.slice(0, 4), [
      "batch true",
      "validation 1/6",
      "predictions true",
      "confusion true",
    ]);
    assert.deepEqual(seen.filter((line) => line.startsWith("epoch")), [
      "epoch 1",
      "epoch 2",
      "epoch 3",
    ]);
    assert.equal(seen.at(-1), "closed");
    // Steps of their own times: all of them together take no longer than the run.
    const total = points.reduce((sum, { ms }) => sum + ms.total, 0);
    assert.ok(total > 0 && total < elapsed, `${total} ms of ${elapsed} ms`);
    for (const { ms, ranks, epoch, step } of points) {
      assert.ok(ms.forwardBackward > 0, `epoch ${epoch}, step ${step}`);
      assert.equal(ranks.length, 2);
      // The last step has one image for two ranks.
      assert.equal(ranks.reduce((sum, { samples }) => sum + samples, 0), step === 6 ? 1 : 4);
    }
    assert.ok(points.at(-1)!.ms.exchange > 0 && points.at(-1)!.ms.update > 0);
    assert.ok(points.at(-1)!.ranks.every(({ residentBytes }) => residentBytes! > 5e7));
    const log = await Deno.readTextFile(join(run, "run.log"));
    assert.match(log, /^\d{4}-\S+Z info Data: 21 training images/m);
    assert.match(log, /^\S+Z info epoch 3\/3 .*train loss/m);
    assert.equal(await exists(join(run, "live.json")), false);
  }));

Deno.test("RunWatch writes to live.json which workers a run recovers from, and how often it has", () =>
  withTemporaryFolder(async (folder) => {
    const events = new RunEvents();
    await using watch = new RunWatch(3, events);
    const devices = [0, 1, 2].map((index) => ({
      ...{ kind: "gpu" as const, name: "L4", index, uuid: `GPU-${index}`, tensorflow: [] },
    }));
    const heartbeat = {
      pid: 7,
      host: "here",
      epoch: 1,
      step: 2,
      phase: "none" as const,
      sample: null,
    };
    const ranks = [0, 1].map((rank) => ({
      ...{ rank, ...heartbeat, activity: "waiting", residentBytes: 4, silentMs: 5 },
    }));
    watch.listenTo(
      () => ranks,
      () => ({ unsigned: 0, replayed: 0, version: 0, malformed: 0, corrupt: 0, workers: 0 }),
    );
    watch.hear({ type: "devices", devices });
    const place = { generation: 1, epoch: 1, step: 2 };
    const lose = (rank: number) => {
      const workers = [{ rank, pid: 7, host: "here", reason: "killed" }];
      watch.hear({ type: "workersLost", ...place, during: "training", workers });
    };
    lose(1);
    lose(0);
    watch.open(folder, { epochs: 2, stepsPerEpoch: 4 });
    const see = (check: (status: LiveStatus) => void) =>
      eventually(async () => {
        const status = await readLiveStatus(folder);
        assert.ok(status);
        check(status);
      }, { seconds: 20 });
    await see(({ recovering, recoveries }) => {
      assert.deepEqual([recovering?.ranks, recoveries], [[1, 0], 0]);
    });
    const recovery = { ranks: [0, 1], reasons: ["a", "b"], workers: 1, restarts: 0, seconds: 1 };
    watch.hear({ type: "recovery", ...place, policy: "shrink", ...recovery });
    await see(({ recovering, recoveries, workers }) => {
      assert.deepEqual([recovering, recoveries], [undefined, 1]);
      assert.equal(workers[0].gpu?.index, 2, "the card of the rank that is left");
    });
  }));

Deno.test("metrics.jsonl, metrics.csv and TensorBoard's files know no step twice after SIGKILL and resume", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      workers: 1,
      liveness: { lostAfter: 60 },
      train: { epochs: 60, batchSize: 4 },
    });
    const run = await (async () => {
      await using killed = await startTrain(folder, config);
      await killed.seen(/epoch +2\//);
      const run = await newestRun(join(folder, "runs"));
      await eventually(async () => assert.equal((await readLiveStatus(run))?.workers.length, 1));
      // In the middle of an epoch: some points are later than the last checkpoint.
      while ((await readMetrics(run)).at(-1)!.step % 6 < 3) await delay(1);
      killed.kill("SIGKILL");
      await killed.result;
      return run;
    })();
    const before = await readMetrics(run);
    await Deno.writeTextFile(join(run, "metrics.jsonl"), '{"time":"20', { append: true });
    const { code, stderr } = await runCommand(["train", "--resume", run], folder);
    assert.equal(code, 0, stderr);
    const points = await readMetrics(run);
    const history = await readHistory(run);
    assertIncreasing(points.map(placeOf), "metrics.jsonl");
    assert.deepEqual(
      points.map(({ epoch, step, loss }) => [epoch, step, loss]),
      history.losses.map(({ epoch, step, loss }) => [epoch, step, loss]),
    );
    assert.equal(points.at(-1)!.epoch, 60);
    assert.deepEqual(points[0], before[0], "what was there before stays");
    const lines = (await Deno.readTextFile(join(run, "metrics.csv"))).trimEnd().split("\n");
    assert.equal(lines.length, points.length + 1);

    const names = (await Array.fromAsync(Deno.readDir(join(run, "tensorboard")))).map(({ name }) =>
      name
    ).sort();
    assert.equal(names.length, 2);
    const [first, second] = await Promise.all(
      names.map(async (name) => readEventFile(await Deno.readFile(join(run, "tensorboard", name)))),
    );
    const restart = second.find(({ sessionStatus }) => sessionStatus === 1)!;
    const stepsOf = (events: typeof first) =>
      events.filter(({ values }) => values.some(({ tag }) => tag === "loss/train")).map((
        { step },
      ) => step);
    const steps = [...stepsOf(first).filter((step) => step < restart.step), ...stepsOf(second)];
    assert.deepEqual(steps, Array.from({ length: 360 }, (_, index) => index + 1));
    assert.equal(
      first.flatMap(({ values }) => values).find(({ tag }) => tag === "config")!.text!.includes(
        "plain_cnn",
      ),
      true,
    );
  }));

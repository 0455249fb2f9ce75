import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { train } from "../../src/coordinator/run.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { type History, readHistory } from "../../src/records/history.ts";
import { makeImages } from "../support/images.ts";
import { allGone, descendantsOf, workersAmong } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, startCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";
import { moduleConfig, moduleIn, WIDE_MODEL, writeModules } from "../support/user_modules.ts";

type Changes = Parameters<typeof tinyConfig>[1];

/** A finished run. */
interface Finished {
  readonly code: number;
  readonly stderr: string;
  readonly folder: string;
  readonly sha256: Record<string, string>;
  readonly history: History;
}

/** Runs a config to its end, as a user would; its workers die at the points that are given. */
async function run(folder: string, config: ConfigInput, faults = ""): Promise<Finished> {
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, "config.yaml");
  await Deno.writeTextFile(path, stringify({ ...config, out: join(folder, "runs") }));
  await using process = startCommand(["train", "--config", path], folder, {
    ...(faults ? { [FAULT_VARIABLE]: faults } : {}),
  });
  const { code, stderr, stdout } = await process.result;
  const newest = await newestRun(join(folder, "runs")).catch(() => {
    throw new Error(stdout + stderr);
  });
  const history = await readHistory(newest);
  const { sha256 } = await lastState(newest).catch(() => ({ sha256: {} }));
  return { code, stderr, folder: newest, sha256, history };
}

/** The part of a history that doesn't depend on clocks, folders and deaths. */
function resultsOf({ epochs, losses, validations, best }: History) {
  const timeless = epochs.map(({ seconds: _, imagesPerSecond: __, ...epoch }) => epoch);
  return { epochs: timeless, losses, validations, best };
}

function assertSame(actual: Finished, expected: Finished, name: string): void {
  assert.equal(actual.code, 0, `${name}: ${actual.stderr}`);
  assert.deepEqual(actual.sha256, expected.sha256, name);
  assert.deepEqual(resultsOf(actual.history), resultsOf(expected.history), name);
}

/** Runs that share a config, and the points at which the workers of one of them die. */
const CASES: Record<
  string,
  { changes: Changes; faults: string; wide?: boolean; deaths: string[]; recoveries: number[][] }
> = {
  // Two at once in the middle of the first step's sum, and one in a validation.
  "shards in shared memory, Adam with averages": {
    wide: true,
    changes: {
      workers: 3,
      exchange: "shared-memory",
      train: { optimizer: "adam", lr: 0.003, ema: { decay: 0.9 } },
    },
    faults: "between-chunks:1:0:1,between-chunks:2:0:1,validation:0:*:2",
    deaths: ["training 1", "training 2", "validation 0"],
    recoveries: [[1, 2], [0]],
  },
  // With half of its gradients computed, then one whose state is to be given to that rank, and with the sum in its hands.
  "NATS, accumulation": {
    changes: { workers: 3, exchange: "nats", train: { momentum: 0.9, accumulationSteps: 2 } },
    faults: "gradients:1:0:1,read-state:0:*:1,sum-to-update:2:1:2",
    deaths: ["training 1", "training 0", "training 2"],
    recoveries: [[0, 1], [2]],
  },
  // Before the first step, while a checkpoint is made, and with a half-written slot.
  "whole sums in shared memory": {
    changes: { workers: 3, exchange: "shared-memory", train: { momentum: 0.9 } },
    faults: "load-state:1,read-state:0:*:1,slot:2:1:2",
    deaths: ["saving 1", "saving 0", "training 2"],
    recoveries: [[1], [0], [2]],
  },
};

Deno.test("a run whose workers die and are replaced has all bits of one that nothing disturbs", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await writeModules(folder, { model: WIDE_MODEL });
    await Promise.all(
      Object.entries(CASES).map(
        async ([name, { changes, faults, wide = false, deaths, recoveries }], at) => {
          const tiny = tinyConfig(root, changes);
          const config = wide
            ? { ...tiny, model: { module: moduleIn(folder, "model") }, train: tiny.train }
            : tiny;
          const quiet = await run(join(folder, `quiet${at}`), config);
          assert.equal(quiet.code, 0, quiet.stderr);
          const disturbed = await run(join(folder, `disturbed${at}`), config, faults);
          assertSame(disturbed, quiet, name);
          assert.equal(quiet.history.recoveries, undefined);
          // On a busy machine, two that die at once may be noticed one after the other.
          const recovered = disturbed.history.recoveries!;
          assert.deepEqual(recovered.flatMap(({ ranks }) => ranks), recoveries.flat());
          for (const { policy, workers } of recovered) {
            assert.deepEqual([policy, workers], ["restart", 3]);
          }
          const events = await readEvents(disturbed.folder);
          const lost = events.filter(({ type }) => type === "workersLost") as unknown as {
            during: string;
            workers: { rank: number; reason: string }[];
          }[];
          assert.deepEqual(
            lost.flatMap(({ during, workers }) => workers.map(({ rank }) => `${during} ${rank}`)),
            deaths,
          );
          for (const { workers } of lost) {
            for (const { reason } of workers) assert.match(reason, /was killed by SIGKILL/);
          }
        },
      ),
    );
  }));

Deno.test("a killed and a stopped worker are noticed in time and replaced; the others keep their processes", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      workers: 2,
      liveness: { lostAfter: 10 },
      train: { epochs: 200 },
    });
    await using process = await startTrain(folder, config);
    await process.seen(/epoch +2\//);
    const workersNow = async () => await workersAmong(await descendantsOf(process.pid));
    const [first, second] = await workersNow();
    const killed = Date.now();
    Deno.kill(second, "SIGKILL");
    await process.seen(/was started again/);
    const after = await workersNow();
    assert.ok(after.includes(first) && !after.includes(second) && after.length === 2, `${after}`);
    const stopped = Date.now();
    Deno.kill(first, "SIGSTOP");
    const { code, stderr, stdout } = await process.result;
    assert.equal(code, 0, stdout + stderr);
    const newest = await newestRun(join(folder, "runs"));
    const lost = (await readEvents(newest)).filter(({ type }) => type === "workersLost");
    const [death, stop] = lost.map(({ time }) => Date.parse(time as string));
    console.log(`noticed ${death! - killed} ms after a death, ${stop! - stopped} ms after a stop`);
    assert.ok(death! - killed < 5_000, "what is promised; it takes a fraction of a second");
    // The death by the process's end, not by the silence that follows; the stop by 3 s of silence.
    const reasons = lost.map(({ workers }) => (workers as { reason: string }[])[0]!.reason);
    assert.equal(reasons.length, 2);
    assert.match(reasons[0], /was killed by SIGKILL/);
    assert.match(reasons[1], /has sent no heartbeat for \d+ s/);
    await allGone([first, second, ...after]);
    const { epochs, recoveries } = await readHistory(newest);
    assert.equal(epochs.length, 200);
    assert.equal(recoveries!.length, 2);
  }));

Deno.test("after a shrink a run has the bits of a resume with as many workers", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      workers: 3,
      onWorkerLost: "shrink",
      train: { momentum: 0.9 },
    });
    const shrunk = await run(join(folder, "shrunk"), config, "before-commit:1:1:1");
    assert.equal(shrunk.code, 0, shrunk.stderr);
    const [{ policy, workers, ranks, step }] = shrunk.history.recoveries!;
    assert.deepEqual({ policy, workers, ranks }, { policy: "shrink", workers: 2, ranks: [1] });

    const begun = await train(validateConfig({ ...config, out: join(folder, "resumed") }), {
      // The step after the one at which the program says stop is the last.
      onStep: (done) => done.epoch === 1 && done.step === step - 1 ? "stop" : undefined,
    });
    const { folder: resumed } = await train(
      validateConfig({ ...config, out: join(folder, "resumed"), workers: 2 }),
      { resume: begun.folder },
    );
    assert.deepEqual(shrunk.sha256, (await lastState(resumed)).sha256);
    assert.deepEqual(
      resultsOf(shrunk.history).validations,
      resultsOf(await readHistory(resumed)).validations,
    );
  }));

Deno.test("a run that has lost all workers goes back to its checkpoint, or to its start", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { workers: 2 });
    const quiet = await run(join(folder, "quiet"), config);
    const cases = { checkpoint: "after-sum:*:1:2", start: "after-sum:*:1:1" };
    await Promise.all(
      Object.entries(cases).map(async ([name, faults]) => {
        const back = await run(join(folder, name), config, faults);
        assertSame(back, quiet, name);
        assert.deepEqual(
          back.history.recoveries!.map(({ policy, epoch, step }) => ({ policy, epoch, step })),
          [{ policy: "checkpoint", epoch: name === "checkpoint" ? 2 : 1, step: 0 }],
        );
      }),
    );
    const none = await run(join(folder, "none"), { ...config, maxRestarts: 0 }, "after-sum:1:1:2");
    assert.equal(none.code, 1);
    assert.match(
      none.stderr,
      /Rank 1 .* was killed by SIGKILL.*: the run gives up after 0 restarts within an hour \(maxRestarts\)/,
    );
    const { folder: resumed } = await train(
      validateConfig({ ...config, out: join(folder, "none", "runs") }),
      { resume: none.folder },
    );
    assert.deepEqual((await lastState(resumed)).sha256, quiet.sha256);
  }));

/** A loss that throws once in the second step, or always. */
const MOODY = `
const isWorker = Deno.mainModule.endsWith("train_worker.ts");
const mark = new URL("./moody", import.meta.url);
export const lossPerSample = (logits, { targets }, tf) => {
  if (isWorker) {
    const mood = Deno.readTextFileSync(mark);
    if (mood === "always") throw new Error("I am in a bad mood");
  }
  return tf.neg(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1));
};
`;

/** Images of which the 5th read of each process takes for ever, as long as the file is there. */
const STUCK = `
const isWorker = Deno.mainModule.endsWith("train_worker.ts");
const mark = new URL("./stuck", import.meta.url);
let reads = 0;
const image = (index) => ({ width: 12, height: 12, data: new Uint8Array(432).fill(70 * (index % 3)) });
const samples = (length) => ({
  length,
  sample: async (index, { split }) => {
    if (isWorker && split === "train" && ++reads === 5) {
      const isStuck = await Deno.stat(mark).then(() => true, () => false);
      if (isStuck) await new Promise(() => {});
    }
    return { image: image(index), label: index % 3 };
  },
});
export const createDataset = () => ({
  classes: ["dark", "middle", "light"], train: samples(21), val: samples(9), cheap: true,
});`;

Deno.test("an exception of the user's code and a worker that stands still are losses, too", () =>
  withTemporaryFolder(async (folder) => {
    const throwing = async () => {
      const own = join(folder, "throwing");
      await Deno.mkdir(own);
      await writeModules(own, { loss: MOODY });
      await Deno.writeTextFile(join(own, "moody"), "always");
      const config = moduleConfig(own, { workers: 2 });
      const { code, stderr, history } = await run(own, {
        ...config,
        train: { ...config.train, lossModule: moduleIn(own, "loss") },
      } as ConfigInput);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /error: Rank \d.* failed: .*I am in a bad mood.*: the same as before a restart, so another one would be in vain/,
      );
      assert.ok((history.recoveries?.length ?? 0) <= 1);
    };
    const standing = async () => {
      const own = join(folder, "standing");
      await Deno.mkdir(own);
      await writeModules(own, { data: STUCK });
      await Deno.writeTextFile(join(own, "stuck"), "");
      const config = { ...moduleConfig(own, { workers: 2 }), liveness: { stallAfter: 15 } };
      const path = join(own, "config.yaml");
      await Deno.writeTextFile(path, stringify(config));
      await using process = startCommand(["train", "--config", path], own);
      await process.seen(/has made no progress for 15 s or more/);
      await Deno.remove(join(own, "stuck"));
      const { code, stdout, stderr } = await process.result;
      assert.equal(code, 0, stdout + stderr);
    };
    await Promise.all([throwing(), standing()]);
  }));

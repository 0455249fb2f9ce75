import assert from "node:assert/strict";
import { join } from "node:path";
import { LockstepError } from "../../src/base/errors.ts";
import { prepareRun } from "../../src/coordinator/preparation/prepare.ts";
import type { Config } from "../../src/config/schema.ts";
import { validateConfig } from "../../src/config/load.ts";
import { cpuDevices } from "../../src/gpus/find_devices.ts";
import { makeImages } from "../support/images.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** A reporter that keeps its lines. */
function listener() {
  const lines: string[] = [];
  const warnings: string[] = [];
  return {
    lines,
    warnings,
    info: (line: string) => void lines.push(line),
    warn: (line: string) => void warnings.push(line),
    download: () => {},
  };
}

/** Prepares a run and lets go of it. */
async function facts(config: Config, reporter = listener()) {
  const run = await prepareRun(
    { config, layout: [config.workers], ...cpuDevices(config.workers) },
    { reporter },
  );
  using _model = run.replica;
  using _images = run.dataset.source;
  const { plan, job, metrics, dataset } = run;
  return { plan, job, metrics, dataset, natsServer: run.natsServer };
}

Deno.test("prepareRun() finds the images, plans the run and describes its job", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 10 });
    const reporter = listener();
    const config = validateConfig(tinyConfig(root, { train: { batchSize: 8, epochs: 3 } }));
    const { plan, job, dataset, metrics, natsServer } = await facts(config, reporter);
    assert.equal(plan.epochs, 3);
    assert.equal(plan.globalBatch, 8);
    assert.equal(plan.stepsPerEpoch, Math.ceil(dataset.train.length / 8));
    assert.equal(job.root, root);
    assert.equal(job.numClasses, dataset.classes.length);
    assert.equal(job.fingerprint, dataset.fingerprint);
    assert.deepEqual(metrics, []);
    assert.ok(natsServer, "an own server");
    assert.deepEqual(reporter.warnings, []);
  }));

Deno.test("prepareRun() refuses what can't be trained before anything is started, and warns of what it leaves out", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 10 });
    const refuses = (changes: Parameters<typeof tinyConfig>[1], message: RegExp) =>
      assert.rejects(facts(validateConfig(tinyConfig(root, changes))), (error) => {
        assert.ok(error instanceof LockstepError);
        assert.match(error.message, message);
        return true;
      });
    await refuses(
      { train: { batchSize: 4096, dropLast: true } },
      /train\.dropLast leaves out the last batch/,
    );
    await refuses({ train: { classWeights: { nobody: 2 } } }, /nobody/);
    await refuses({ nats: { url: "nats://127.0.0.1:1" } }, /127\.0\.0\.1:1/);
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    const config = validateConfig(tinyConfig(root));
    await assert.rejects(
      prepareRun({ config, layout: [1], ...cpuDevices(1) }, {
        reporter: listener(),
        signal: stop.signal,
      }),
      /enough/,
    );
  }));

import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { readHistory } from "../../src/records/history.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, runCommand, startCommand, tinyConfig } from "../support/tiny_run.ts";

const EPOCHS = 8;
const SPOILED = ["train/dark/1.jpg", "train/light/2.jpg"];
const PRELOAD = new URL("../support/spoil_images.ts", import.meta.url).pathname;

Deno.test("images that vanish or are cut short in mid-run end it with their names, or are left out and counted, as data.onError says", () =>
  withTemporaryFolder(async (folder) => {
    const start = async (name: string, onError: "fail" | "skip") => {
      const root = join(folder, name, "images");
      await makeImages(root);
      const config = tinyConfig(root, { workers: 2, train: { epochs: EPOCHS, batchSize: 4 } });
      const path = join(folder, name, "config.yaml");
      await Deno.writeTextFile(
        path,
        stringify({ ...config, data: { ...config.data, onError } }),
      );
      const [gone, cut] = SPOILED.map((name) => join(root, name));
      const env = { LOCKSTEP_TEST_GONE: gone, LOCKSTEP_TEST_CUT: cut };
      const run = startCommand(["train", "--config", path], folder, env, { preload: PRELOAD });
      const goBack = async () => {
        for (const path of [gone, cut]) await Deno.rename(`${path}.away`, path);
      };
      return { run, config, goBack, out: join(folder, name, "runs") };
    };
    const failing = async () => {
      const { run, config, goBack, out } = await start("fail", "fail");
      await using _run = run;
      const { code, stdout, stderr } = await run.result;
      assert.equal(code, 1, stdout + stderr);
      assert.match(stderr, /^error: .*(dark\/1|light\/2)\.jpg.*data\.onError: skip/m);
      assert.doesNotMatch(stderr, /^ {4}at /m);
      await goBack();
      const folder = await newestRun(out);
      const resumed = await runCommand(["train", "--resume", folder], out);
      assert.equal(resumed.code, 0, resumed.stderr);
      const whole = await train({ ...config, out: join(out, "whole") });
      assert.deepEqual((await lastState(folder)).sha256, (await lastState(whole.folder)).sha256);
    };
    const skipping = async () => {
      const { run, out } = await start("skip", "skip");
      await using _run = run;
      const { code, stdout, stderr } = await run.result;
      assert.equal(code, 0, stdout + stderr);
      const folder = await newestRun(out);
      const { epochs } = await readHistory(folder);
      assert.equal(epochs.length, EPOCHS);
      const skipped = (await readEvents(folder)).filter(({ type }) => type === "skipped");
      assert.deepEqual(
        skipped.map(({ path }) => path).sort(),
        SPOILED,
      );
    };
    await Promise.all([failing(), skipping()]);
  }));

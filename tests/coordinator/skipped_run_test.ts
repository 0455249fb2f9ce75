import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

Deno.test("ranks report the images that they skip over shared memory and over NATS alike", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const broken = ["dark/1", "dark/4", "light/0", "middle/5"].map((name) => `train/${name}.jpg`);
    for (const path of broken) {
      await Deno.writeTextFile(join(root, path), "no image, and as long as one".repeat(20));
    }
    const config = tinyConfig(root, { workers: 2 });
    const states: unknown[] = [];
    for (const exchange of ["shared-memory", "nats"] as const) {
      const { folder: run, history } = await train({
        ...config,
        exchange,
        data: { ...config.data!, onError: "skip" },
        liveness: { lostAfter: 60 },
      });
      const skipped = (await readEvents(run)).filter(({ type }) => type === "skipped");
      const paths = skipped.map(({ path }) => String(path));
      assert.deepEqual(paths.sort(), broken, `${exchange}: each once, whichever rank had it`);
      assert.equal(history.losses.at(-1)!.examples, 2 * 21 - 4, "as the second epoch lacks them");
      states.push((await lastState(run)).sha256);
    }
    assert.deepEqual(states[0], states[1]);
  }));

import assert from "node:assert/strict";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { train } from "../../src/coordinator/run.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { stringify } from "@std/yaml";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

Deno.test("workers take the images that the coordinator found, and don't scan the folder again", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(
      path,
      stringify(tinyConfig(root, { workers: 2, train: { epochs: 1 } })),
    );
    const lines: string[] = [];
    const info = (line: string) => {
      lines.push(line);
      // A worker that scanned would find another data set from now on, and refuse it.
      if (/^Data: 21 training images/.test(line)) {
        Deno.copyFileSync(join(root, "train/dark/0.jpg"), join(root, "train/dark/late.jpg"));
      }
    };
    const reporter = { ...silentReporter(), info };
    const { history } = await train(await loadConfig(path), { reporter });
    assert.equal(history.epochs.length, 1);
    assert.equal(history.epochs[0].validation.count, 9);
    assert.ok(await Deno.stat(join(root, "train/dark/late.jpg")), lines.join("\n"));
  }));

import assert from "node:assert/strict";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { train } from "../../src/coordinator/run.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { stringify } from "@std/yaml";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

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

/** A data module with one image more as soon as a file exists beside it. */
const GROWING = `
const image = { width: 12, height: 12, data: new Uint8Array(144) };
const sample = (index) => ({ image, label: index % 2 });
const grown = () => Deno.readTextFile(new URL("grown", import.meta.url)).then(() => 1, () => 0);
export const createDataset = async () => ({
  classes: ["a", "b"], train: { length: 24 + await grown(), sample }, val: { length: 8, sample },
});
`;

Deno.test("a worker that finds other images than the coordinator doesn't take part, and both fingerprints are said", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { data: GROWING });
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(moduleConfig(folder, { workers: 2 })));
    const info = (line: string) => {
      if (/^Data: 24 training images/.test(line)) {
        Deno.writeTextFileSync(join(folder, "grown"), "");
      }
    };
    await assert.rejects(
      train(await loadConfig(path), { reporter: { ...silentReporter(), info } }),
      /The images in .* differ from those that the coordinator found \(fingerprint [\da-f]{12}, expected [\da-f]{12}\): give all machines the same files/,
    );
  }));

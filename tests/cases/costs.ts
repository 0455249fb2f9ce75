/**
 * Cases of costs that grow: many classes, many skipped images.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import { train } from "../../mod.ts";
import { exists } from "../../src/base/paths.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

/** `many_classes/mk.py`: classes with one small image on each side. */
async function makeManyClasses(root: string, classes: number): Promise<void> {
  const jpeg = await new Image(20, 20).fill(0x808080ff).encodeJPEG(80);
  for (let index = 0; index < classes; index++) {
    for (const split of ["train", "val"]) {
      const folder = join(root, split, `class_${index}`);
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeFile(join(folder, "0.jpg"), jpeg);
    }
  }
}

function listener() {
  const warnings: string[] = [];
  const lines: string[] = [];
  const reporter = {
    ...silentReporter(),
    warn: (line: string) => void warnings.push(line),
    info: (line: string) => void lines.push(line),
  };
  return { warnings, lines, reporter };
}

/** Rows of the table. */
export const CASES: readonly Case[] = [
  {
    name: "many_classes: 1,000 classes",
    must:
      "trains to its end; the matrix is an image of bounded size, and no line names all classes",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const root = join(folder, "images");
        await makeManyClasses(root, 1000);
        const { warnings, lines, reporter } = listener();
        const config = tinyConfig(root, { train: { epochs: 1, batchSize: 125 } });
        const { folder: run, history } = await train(config, { reporter });
        assert.equal(history.epochs.length, 1);
        assert.equal(history.best.confusionMatrix, undefined);
        assert.ok(history.best.confusions!.length <= 1000);
        assert.deepEqual(warnings.filter((line) => line.includes("couldn't be written")), []);
        assert.ok(lines.every((line) => line.length < 4000), "no line with 1,000 names");
        for (
          const [file, most] of [["history.json", 300_000], ["report.html", 3_000_000]] as const
        ) {
          const { size } = await Deno.stat(join(run, file));
          assert.ok(size < most, `${file}: ${size} bytes`);
        }
        assert.ok(await exists(join(run, "tensorboard")));
      }),
  },
  {
    name: "skipped: 700 broken images through messages of 64 KB",
    must: "trains to its end, names each once in the events, and few of them to the listener",
    run: () =>
      withTemporaryFolder(async (folder) => {
        await using server = await startPlainServer("max_payload: 65536");
        const root = join(folder, "images");
        await makeImages(root);
        for (let index = 0; index < 700; index++) {
          const name = `broken-${index}-${"long-name-".repeat(8)}.jpg`;
          await Deno.writeFile(join(root, "train", "dark", name), new Uint8Array(200));
        }
        const config = tinyConfig(root, { workers: 2, train: { epochs: 2, batchSize: 240 } });
        const { warnings, reporter } = listener();
        const { folder: run, history } = await train({
          ...config,
          data: { ...config.data!, onError: "skip" },
          nats: { url: server.url },
        }, { reporter });
        assert.equal(history.epochs.length, 2);
        const skipped = (await readEvents(run)).filter(({ type }) => type === "skipped");
        assert.equal(skipped.length, 700, "each once, in two epochs");
        const skippedLines = warnings.filter((line) => line.startsWith("Skipped "));
        assert.ok(skippedLines.length <= 53, `${skippedLines.length} lines`);
        assert.ok(
          skippedLines.some((line) => line === "Skipped 700 images again, named before"),
          skippedLines.join("\n"),
        );
      }),
  },
];

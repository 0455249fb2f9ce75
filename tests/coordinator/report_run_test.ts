import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { browserTest, withPage } from "../support/browser.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

/** Names that a folder can have, and that a careless page would take for something else. */
const ODD_NAMES = ["<img src=x onerror=alert(1)>", `"it's" & two\nlines`, "\u202egnp.exe"];

const textOf = (path: string) => Deno.readTextFile(path);

browserTest(
  "train() leaves a report of its run, harmless whatever the classes are called",
  () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root, { classes: ODD_NAMES });
      await Deno.writeTextFile(join(root, "train", ODD_NAMES[0], "<b>broken.jpg"), "no image");
      const config = tinyConfig(root);
      config.data.onError = "skip";
      await using process = await startTrain(folder, config);
      const { code, stdout, stderr } = await process.result;
      assert.equal(code, 0, stderr);
      const run = await newestRun(join(folder, "runs"));
      assert.ok(stdout.includes(`Report: ${join("runs", basename(run), "report.html")}\n`));
      await withPage({}, async (page) => {
        page.on("dialog", (dialog) => assert.fail(`The page asked: ${dialog.message()}`));
        await page.goto(pathToFileURL(join(run, "report.html")).href);
        const names = await page.locator("#classes tbody th").allTextContents();
        const shown = ODD_NAMES.map((name) => name.replace("\u202e", "\\u202e"));
        assert.deepEqual(names.toSorted(), shown.toSorted());
        const sizes = await page.evaluate(
          "[...document.images].map(({ naturalWidth }) => naturalWidth)",
        );
        const images = sizes as number[];
        assert.ok(images.length >= 9 + 7, `${images.length} images`);
        assert.ok(images.every((width) => width === 20), "as the transforms make them");
        assert.match((await page.locator("#warnings").textContent())!, /<b>broken\.jpg/);
        assert.equal(await page.locator(".head .badge").first().textContent(), "✓ finished");
        const seen = await page.locator("#throughput tbody tr").count();
        assert.equal(seen, 1, "a row for the worker");
      });
    }),
);

Deno.test("a run that is interrupted or fails leaves a report that says so, and how to go on", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 20 });
    await using process = await startTrain(folder, tinyConfig(root, { train: { epochs: 10_000 } }));
    await process.seen(/epoch +2\/10000 +train loss/);
    const run = await newestRun(join(folder, "runs"));
    assert.match(
      await textOf(join(run, "report.html")),
      /The run hadn't ended/,
    );
    process.kill("SIGINT");
    const { code, stdout } = await process.result;
    assert.equal(code, 130);
    assert.match(stdout, /^Report: .*report\.html$/m);
    const report = await textOf(join(run, "report.html"));
    assert.match(report, /<\/span> interrupted/);
    assert.ok(report.includes(`deno task train --resume ${join(folder, "runs", basename(run))}`));

    await using failing = await startTrain(
      folder,
      tinyConfig(root, { train: { epochs: 3, lr: 1e30 } }),
    );
    const failed = await failing.result;
    assert.equal(failed.code, 1, failed.stdout);
    const other = await newestRun(join(folder, "runs"));
    const text = await textOf(join(other, "report.html"));
    assert.match(text, /<\/span> failed/);
    assert.match(text, /NaN or infinite on rank 0|became infinite/);
    assert.match(failed.stdout, /^Report: .*report\.html$/m);
  }));

Deno.test("deno task report makes a report again from the run's files", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using process = await startTrain(folder, tinyConfig(root));
    assert.equal((await process.result).code, 0);
    const run = await newestRun(join(folder, "runs"));
    const path = join(run, "report.html");
    // The last parts are the log, which has grown since, the sizes of files, and when the page was written.
    const written = (text: string) => text.replace(/<section[^>]*id="log".*/s, "");
    const first = written(await textOf(path));
    await Deno.remove(path);
    await Deno.remove(root, { recursive: true });
    const { code, stdout, stderr } = await runCommand(["report"], folder);
    assert.equal(code, 0, stderr);
    const shown = join("runs", basename(run));
    assert.equal(
      stdout,
      `Run: ${shown}, the newest with a history\nReport: ${join(shown, "report.html")}\n`,
    );
    assert.equal(written(await textOf(path)), first);

    const refused = await runCommand(["report", "images"], folder);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /images is not a run folder, it has neither config\.yaml nor/);
  }));

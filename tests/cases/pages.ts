/**
 * Cases of pages and images: what grows with classes and epochs, and what old run folders hold.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "@std/yaml";
import { Dashboard } from "../../src/dashboard/server.ts";
import { EventLog } from "../../src/records/event_log.ts";
import { writeComparison } from "../../src/compare/comparison.ts";
import { writeComparisonPlot } from "../../src/compare/comparison_plot.ts";
import { writeComparisonReport } from "../../src/compare/report/comparison_report.ts";
import { comparisonLines } from "../../src/compare/comparison_table.ts";
import { writeReport } from "../../src/report/report.ts";
import { madeComparison } from "../support/made_comparison.ts";
import { makeRun } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

/** Writes all of a comparison and returns the sizes of its files, by name. */
async function comparisonSizes(epochs: number, classes: number): Promise<Record<string, number>> {
  const accuracies = Array.from({ length: epochs }, (_, epoch) => epoch % 100 / 100);
  const comparison = madeComparison([
    { label: "Pretrained", weights: "pretrained", runs: [accuracies, accuracies] },
    { label: "Scratch", runs: [accuracies, accuracies] },
  ], epochs);
  comparison.variants.forEach(({ differences }, position) => {
    for (let label = 0; label < classes; label++) {
      differences[`train.classWeights.class_${label}`] = 1 + position;
    }
  });
  const sizes: Record<string, number> = {};
  await withTemporaryFolder(async (folder) => {
    const [start, before] = [performance.now(), Deno.memoryUsage().rss];
    await writeComparison(folder, comparison);
    await writeComparisonPlot(folder, comparison);
    await writeComparisonReport(folder, comparison);
    const [seconds, bytes] = [
      (performance.now() - start) / 1000,
      Deno.memoryUsage().rss - before,
    ];
    assert.ok(seconds < 20, `${seconds} s`); // 1 s on an idle machine
    assert.ok(bytes < 1e9, `${bytes} bytes`); // 200 MB
    for await (const { name } of Deno.readDir(folder)) {
      sizes[name] = (await Deno.stat(join(folder, name))).size;
    }
    sizes.lines = comparisonLines(comparison, 100).length;
  });
  return sizes;
}

const SECRET = "s3cr3t-w0rd";

/** A run folder as an older version left it, with the credentials of servers all over. */
async function makeOldRun(runs: string, id: string, url: string): Promise<string> {
  const folder = await makeRun(runs, id, {
    name: "old",
    end: "failed",
    message: `Can't reach ${url}`,
    log: [`Broker: ${url}`, `Data: https://me:${SECRET}@data.example/photos.zip`],
    config: { nats: { url }, data: { root: `https://me:${SECRET}@data.example/photos.zip` } },
  });
  const config = parse(await Deno.readTextFile(join(folder, "config.yaml")));
  await Deno.writeTextFile(
    join(folder, "environment.json"),
    JSON.stringify({
      commandLine: ["train", "--nats", url, "--set", `nats.url=${url}`],
      natsServer: url,
    }),
  );
  const history = {
    config,
    epochs: [],
    losses: [],
    validations: [],
    best: { epoch: 0, accuracy: 0 },
  };
  await Deno.writeTextFile(join(folder, "history.json"), JSON.stringify(history));
  await Deno.writeTextFile(join(folder, "report.html"), `<p>nats://me:${SECRET}@host</p>`);
  using events = new EventLog(folder);
  events.append("warning", { message: `Trying ${url} again` });
  return folder;
}

/** Everything that a dashboard answers about a run. */
async function answersOf(runs: string, id: string): Promise<Record<string, string>> {
  await using dashboard = new Dashboard({ folder: runs, port: 0, pollMs: 20 });
  const answers: Record<string, string> = {};
  const paths = ["runs", `runs/${id}`, `compare?run=${id}&run=plain`, "api/runs", "metrics"];
  for (const path of [...paths, `files/${id}/report.html`]) {
    answers[path] = await (await fetch(dashboard.url + path)).text();
  }
  const stream = await fetch(`${dashboard.url}api/events?run=${id}`);
  let text = "";
  for await (const part of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("event: live")) break;
  }
  return { ...answers, events: text };
}

/** Rows of the table. */
export const CASES: readonly Case[] = [
  {
    name:
      "secrets: run folders of older versions with passwords in config, history, log and events",
    must: "the report and all that the dashboard answers show them masked",
    run: () =>
      withTemporaryFolder(async (runs) => {
        await makeRun(runs, "plain");
        const urls = [
          `nats://me:${SECRET}@host:4222`,
          `me:${SECRET}@host:4222`,
          `tls://${SECRET}@h`,
        ];
        for (const [index, url] of urls.entries()) {
          const folder = await makeOldRun(runs, `old-${index}`, url);
          const answers = await answersOf(runs, `old-${index}`);
          assert.match(answers[`files/old-${index}/report.html`], /nats:\/\/\*\*\*@host/);
          const report = await Deno.readTextFile(await writeReport(folder));
          for (const [where, text] of Object.entries({ ...answers, report })) {
            assert.ok(!text.includes(SECRET), `${where} of ${url}`);
          }
          assert.match(answers.events, /Broker: .*\*\*\*@h/);
          for (const text of [answers[`runs/old-${index}`], report]) {
            assert.match(text, /url: .*\*\*\*@h/, "the rest of the address stays");
            assert.match(text, /https:\/\/\*\*\*@data\.example/);
          }
          await Deno.remove(join(folder, "config.yaml")); // then the report has the history's
          assert.ok(!(await Deno.readTextFile(await writeReport(folder))).includes(SECRET));
        }
      }),
  },
  {
    name: "compare: 10,000 epochs, 1,000 and 21,000 classes with weights",
    must: "the report, the image and the table are of bounded size, and drawn in seconds",
    run: async () => {
      for (const [epochs, classes] of [[10_000, 1000], [10_000, 21_000]]) {
        const sizes = await comparisonSizes(epochs, classes);
        assert.ok(sizes["report.html"] < 300_000, `${sizes["report.html"]} bytes`);
        assert.ok(sizes["comparison.svg"] < 300_000, `${sizes["comparison.svg"]} bytes`);
        assert.ok(sizes.lines < 60, `${sizes.lines} lines`);
      }
    },
  },
];

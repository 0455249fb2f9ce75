import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { ComparisonList } from "../../src/dashboard/comparison_list.ts";
import { RunList } from "../../src/dashboard/run_list.ts";
import { Dashboard } from "../../src/dashboard/server.ts";
import { EventLog } from "../../src/records/event_log.ts";
import { writeLiveStatus } from "../../src/records/live_status.ts";
import { type Comparison, writeComparison } from "../../src/compare/comparison.ts";
import { writeComparisonReport } from "../../src/compare/report/comparison_report.ts";
import { assertAccessible } from "../support/accessibility.ts";
import { browserTest, withPage } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { madeComparison } from "../support/made_comparison.ts";
import { madeEpoch, madeStatus, makeRun } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const ID = "20260102-030405-compare-food";
const EVIL = "<img src=x onerror=alert(1)> \u202egnp";

/** A comparison whose first run is finished, the second goes on, the third failed early, the last waits. */
async function makeComparison(runs: string, id = ID): Promise<[string, Comparison]> {
  const folder = join(runs, id);
  const comparison = madeComparison([
    { label: "Pretrained", weights: "pretrained", runs: [[0.1, 0.2, 0.3, 0.4, 0.5]] },
    { label: "Scratch", runs: [[]], status: "running" },
    { label: EVIL, runs: [[]], status: "failed", message: "No GPU" },
    { label: "Later", runs: [[]], status: "waiting" },
  ]);
  await makeRun(folder, "variant-0-seed-0", { epochs: 5 });
  await makeRun(folder, "variant-1-seed-0", { epochs: 2, end: "running" });
  await writeComparison(folder, comparison);
  return [folder, comparison];
}

const statesOf = async (runs: string, id = ID) => {
  const detail = await new ComparisonList(new RunList(runs)).detail(id);
  return detail && [detail.state, ...detail.members.map(({ state }) => state)];
};

Deno.test("ComparisonList tells how each run stands: by its own folder, else by the plan", () =>
  withTemporaryFolder(async (runs) => {
    const [folder, comparison] = await makeComparison(runs);
    await makeRun(runs, "plain");
    const list = new ComparisonList(new RunList(runs));
    assert.deepEqual(await list.all(), [{
      id: ID,
      name: "food <&> fish",
      created: "2026-01-02T03:04:05.000Z",
      state: "running",
      variants: 4,
      finished: 1,
      runs: 4,
      best: { accuracy: 0.9, label: "Pretrained" },
    }]);
    const { members, differences, labels } = (await list.detail(ID))!;
    assert.deepEqual(
      members.map(({ id, state, begun, epochs, message }) => [id, state, begun, epochs, message]),
      [
        [`${ID}/variant-0-seed-0`, "finished", true, 5, null],
        [`${ID}/variant-1-seed-0`, "running", true, 2, null],
        [`${ID}/variant-2-seed-0`, "failed", false, 0, "No GPU"],
        [`${ID}/variant-3-seed-0`, "waiting", false, 0, null],
      ],
    );
    assert.deepEqual(labels, ["Pretrained", "Scratch", EVIL, "Later"]);
    assert.deepEqual(differences[1].values, ["0", "0.01", "0.02", "0.03"]);
    assert.deepEqual((await new RunList(runs).all()).map(({ id }) => id), ["plain"]);

    // It was killed: the run's own file says no more, and nobody holds the lock.
    await Deno.remove(join(folder, "variant-1-seed-0", "live.json"));
    assert.deepEqual(await statesOf(runs), ["failed", "finished", "lost", "failed", "waiting"]);
    await Deno.writeTextFile(join(folder, ".lock"), "{}"); // between two runs
    assert.deepEqual(await statesOf(runs), ["running", "finished", "running", "failed", "waiting"]);
    const long = new Date(Date.now() - 600_000);
    await Deno.utime(join(folder, "comparison.json"), long, long);
    assert.deepEqual(await statesOf(runs), ["failed", "finished", "lost", "failed", "waiting"]);
    await Deno.remove(join(folder, ".lock"));
    for (const variant of comparison.variants.slice(1)) variant.runs[0].status = "interrupted";
    await writeComparison(folder, comparison);
    assert.equal((await statesOf(runs))![0], "interrupted");
    for (const variant of comparison.variants) variant.runs[0].status = "finished";
    await writeComparison(folder, comparison);
    assert.equal((await statesOf(runs))![0], "finished");

    // What is none, or can't be read, takes nothing from the others.
    for (const [name, text] of [["a", "{"], ["b", "null"], ["c", '{"variants":[]}']]) {
      await Deno.mkdir(join(runs, name));
      await Deno.writeTextFile(join(runs, name, "comparison.json"), text);
    }
    await Deno.mkdir(join(runs, "d", "comparison.json"), { recursive: true });
    assert.equal((await list.all()).length, 1);
    assert.equal(await list.detail("plain"), undefined);
  }));

Deno.test("Dashboard serves a comparison's runs and reports, and nothing around them", () =>
  withTemporaryFolder(async (runs) => {
    const [folder, comparison] = await makeComparison(runs);
    await makeRun(runs, "plain");
    await makeRun(join(runs, "plain"), "inside");
    await Deno.symlink(join(runs, "plain"), join(folder, "linked"));
    await writeComparisonReport(folder, comparison);
    await Deno.writeTextFile(join(folder, "variant-0-seed-0", "report.html"), "<p>own</p>");
    await using dashboard = new Dashboard({ folder: runs, port: 0, pollMs: 20 });
    const get = async (path: string) => {
      const response = await fetch(dashboard.url + path);
      return [response.status, await response.text()] as const;
    };
    for (
      const path of [
        "runs",
        `comparisons/${ID}`,
        `runs/${ID}/variant-0-seed-0`,
        `files/${ID}/report.html`,
        `files/${ID}/variant-0-seed-0/report.html`,
        "api/comparisons",
        `api/comparisons/${ID}`,
        `compare?run=${ID}/variant-0-seed-0&run=plain`,
      ]
    ) {
      const [status, text] = await get(path);
      assert.equal(status, 200, path);
      assert.ok(text.length > 5 && (path.startsWith("api/") || !text.includes("<img src=x")), path);
    }
    for (
      const path of [
        "comparisons/plain",
        "comparisons/none",
        `comparisons/${ID}/variant-0-seed-0`,
        "runs/plain/inside",
        `runs/${ID}`,
        `runs/${ID}/linked`,
        `runs/${ID}/variant-3-seed-0`,
        `runs/${ID}/variant-0-seed-0/x`,
        `files/${ID}/comparison.json`,
        `files/${ID}/variant-0-seed-0/config.yaml`,
        `files/${ID}/..%2fplain/report.html`,
        `api/events?run=${ID}/variant-3-seed-0`,
        `api/events?run=${ID}/../plain`,
      ]
    ) {
      assert.equal((await get(path))[0], 404, path);
    }
  }));

const rowsOf = async (page: Page, id: string) =>
  await page.evaluate(`[...document.querySelectorAll("#${id} tbody tr")].map((row) =>
    [...row.cells].map((cell) => cell.innerText.trim().replaceAll(/\\s+/g, " ")))`) as string[][];

browserTest(
  "the dashboard lists comparisons, and shows one live, with links to runs and report",
  () =>
    withTemporaryFolder(async (runs) => {
      const [folder, comparison] = await makeComparison(runs);
      await writeComparisonReport(folder, comparison);
      await using dashboard = new Dashboard({ folder: runs, port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        page.on("dialog", (dialog) => assert.fail(`The page asked: ${dialog.message()}`));
        await page.goto(`${dashboard.url}runs`);
        const [row] = await rowsOf(page, "comparisons");
        assert.deepEqual(row.slice(0, 6), [ID, "Running", "4", "1 / 4", "90.0%", "Pretrained"]);
        await page.click("#comparisons a");
        await eventually(async () => {
          await writeLiveStatus(join(folder, "variant-1-seed-0"), madeStatus()); // it lives
          assert.deepEqual(await rowsOf(page, "members"), [
            ["Pretrained", "0", "Finished", "5 / 5", "90.0%", "5", "18 s"],
            ["Scratch", "0", "Running", "2 / 5", "75.0%", "2", "7.0 s"],
            [
              "<img src=x onerror=alert(1)> \\u202egnp",
              "0",
              "Failed No GPU",
              "0 / 5",
              "–",
              "–",
              "–",
            ],
            ["Later", "0", "Waiting", "0 / 5", "–", "–", "–"],
          ]);
        });
        const legend = async () =>
          (await page.locator("#chart-accuracy .legend-item").allTextContents()).join(", ");
        assert.equal(await legend(), "Pretrained, Scratch");
        assert.match((await page.textContent("main"))!, /model\.weights.*"pretrained"/s);

        // The second run ends, the last one begins.
        using events = new EventLog(join(folder, "variant-1-seed-0"));
        for (const epoch of [3, 4, 5]) events.append("epoch", madeEpoch(epoch));
        events.append("finished", {});
        const last = await makeRun(folder, "variant-3-seed-0", { epochs: 0, end: "running" });
        await writeLiveStatus(last, madeStatus());
        comparison.variants[1].runs[0].status = "finished";
        comparison.variants[3].runs[0].status = "running";
        await writeComparison(folder, comparison);
        await eventually(async () => {
          await writeLiveStatus(last, madeStatus());
          const states = (await rowsOf(page, "members")).map((cells) => cells[2]);
          assert.deepEqual(states, ["Finished", "Finished", "Failed No GPU", "Running"]);
          assert.equal(await legend(), "Pretrained, Scratch, Later");
        });
        await eventually(() => assert.equal(dashboard.streams, 1, "the older stream is closed"));

        await page.click("#report");
        assert.equal(await page.textContent("h1"), "food <&> fish");
        await page.goBack();
        await page.click("#members a >> nth=1");
        await page.waitForSelector("#epochs tbody tr");
        assert.match(page.url(), /variant-1-seed-0$/);
        await page.click("nav a >> nth=1");
        await page.waitForSelector("#members tbody tr");
        for (const width of [360, 1440]) {
          await page.setViewportSize({ width, height: 900 });
          const wide = "document.documentElement.scrollWidth - innerWidth";
          await eventually(async () => assert.ok(await page.evaluate(wide) as number <= 0));
          await assertAccessible(page, `a comparison at ${width} px`);
        }
      });
    }),
);

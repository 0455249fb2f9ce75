import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { writeComparison } from "../../../src/compare/comparison.ts";
import {
  renderComparisonReport,
  writeComparisonReport,
} from "../../../src/compare/report/comparison_report.ts";
import { assertAccessible } from "../../support/accessibility.ts";
import { browserTest, withPage } from "../../support/browser.ts";
import { eventually } from "../../support/eventually.ts";
import { madeComparison, type MadeVariant } from "../../support/made_comparison.ts";
import { madeRecovery } from "../../support/made_run.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const EVIL = `<img src=x onerror=alert(1)> \u202egnp`;
const LONG = "a-recipe-with-a-very-long-name-".repeat(5);

const VARIANTS: MadeVariant[] = [
  { label: "Pretrained", weights: "pretrained", runs: [[0.5, 0.8, 0.9, 0.95, 0.9]] },
  {
    label: "Scratch",
    runs: [[0.2, 0.3, 0.4, 0.55, 0.5]],
    recoveries: [madeRecovery(1), madeRecovery(2)],
  },
];

const NO_FILES = { folder: "runs/a comparison", reports: new Set<string>(), files: [] };

/** The text of a table's rows, cell by cell. */
const cellsOf = (id: string) =>
  `[...document.querySelectorAll("#${id} tbody tr")].map((row) =>
    [...row.cells].map((cell) => cell.innerText.trim().replaceAll(/\\s+/g, " ")))`;

browserTest(
  "the report of a comparison has results, curves, the history of both, and links",
  () =>
    withTemporaryFolder(async (folder) => {
      const comparison = madeComparison(VARIANTS);
      await writeComparison(folder, comparison);
      await Deno.mkdir(join(folder, "variant-1-seed-0"));
      await Deno.writeTextFile(join(folder, "variant-1-seed-0", "report.html"), "<h1>Its own</h1>");
      const path = await writeComparisonReport(folder, comparison);
      await withPage({}, async (page) => {
        const requests: string[] = [];
        page.on("request", (request) => requests.push(request.url()));
        await page.goto(pathToFileURL(path).href);
        assert.equal(await page.textContent(".head .badge"), "✓ finished");
        assert.deepEqual(await page.evaluate(cellsOf("results")), [
          ["Pretrained best", "95.0%", "4", "10 s", "100 img/s", "1 / 1"],
          ["Scratch", "55.0%", "4", "10 s", "100 img/s", "1 / 1"],
        ]);
        assert.deepEqual(await page.evaluate(cellsOf("pretrained")), [
          ["1", "50.0%", "20.0%", "+30.0"],
          ["2", "80.0%", "30.0%", "+50.0"],
          ["3", "90.0%", "40.0%", "+50.0"],
          ["4", "95.0%", "55.0%", "+40.0"],
          ["5", "90.0%", "50.0%", "+40.0"],
        ]);
        assert.match(
          (await page.textContent("#pretrained"))!.replaceAll(/\s+/g, " "),
          /Pretrained reached 95\.0%, Scratch 55\.0%: \+40\.0 points\. Pretrained was above the best of Scratch after 2 epochs/,
        );
        assert.deepEqual(await page.evaluate(cellsOf("differences")), [
          ["model.weights", "pretrained", "none"],
          ["train.lr", "0", "0.01"],
        ]);
        const runs = await page.evaluate(cellsOf("runs")) as string[][];
        assert.deepEqual(runs[1].slice(1), [
          "0",
          "finished 2 recoveries, 2.5 s in all",
          "5 / 5",
          "55.0%",
          "4",
          "10 s",
          "variant-1-seed-0",
        ]);
        assert.equal(await page.locator("#chart-accuracy canvas").count(), 1);
        const chart = await page.evaluate(
          "JSON.parse(document.getElementById('charts').textContent).accuracy",
        );
        const { series } = chart as { series: { label: string; x: number[]; values: number[] }[] };
        assert.deepEqual(series.map(({ label, x, values }) => [label, x, values]), [
          ["Pretrained", [1, 2, 3, 4, 5], [0.5, 0.8, 0.9, 0.95, 0.9]],
          ["Scratch", [1, 2, 3, 4, 5], [0.2, 0.3, 0.4, 0.55, 0.5]],
        ]);
        assert.deepEqual(requests.filter((url) => !url.startsWith("data:")), [page.url()]);
        await page.click("#runs a");
        assert.equal(await page.textContent("h1"), "Its own");
      });
    }),
);

Deno.test("the report of a comparison says how it stands, and how to go on", () => {
  const [pretrained, scratch] = VARIANTS;
  const reportOf = (changes: Partial<MadeVariant>) =>
    renderComparisonReport(
      madeComparison([pretrained, { ...scratch, ...changes }]),
      NO_FILES,
    );
  const resume = "deno task compare --resume &#39;runs/a comparison&#39;";
  const failed = reportOf({
    status: "failed",
    runs: [[0.2]],
    message: `Rank 1 was lost ${EVIL}`,
  });
  assert.match(failed, /✗<\/span> failed/);
  assert.match(failed, /1 run failed:.*Scratch.*seed 0.*Rank 1 was lost &lt;img/s);
  assert.ok(
    failed.includes(resume) && !failed.includes("<img src=x") && failed.includes("\\u202egnp"),
  );
  const interrupted = reportOf({ status: "interrupted", runs: [[0.2, 0.3]] });
  assert.match(interrupted, /‖<\/span> interrupted/);
  assert.match(interrupted, /The comparison was interrupted/);
  assert.match(interrupted, />2 \/ 5</);
  const waiting = reportOf({ status: "waiting", runs: [[]] });
  assert.match(waiting, /‖<\/span> interrupted/);
  assert.ok(!waiting.includes('id="pretrained"'), "there is nothing to compare with yet");
  const running = reportOf({ status: "running", runs: [[0.2]] });
  assert.match(running, /The comparison hadn't ended/);
  assert.ok([interrupted, waiting, running].every((text) => text.includes(resume)));
  const nothing = renderComparisonReport(
    madeComparison(VARIANTS.map((own) => ({ ...own, status: "waiting", runs: [[]] }))),
    NO_FILES,
  );
  assert.ok(!nothing.includes('id="curves"') && nothing.includes('id="differences"'));
});

browserTest(
  "the report of a large comparison fits, is accessible, and nothing is cut",
  () =>
    withTemporaryFolder(async (folder) => {
      const variants = Array.from({ length: 10 }, (_, index): MadeVariant => ({
        label: index === 0 ? EVIL : index === 1 ? LONG : `Recipe ${index}`,
        weights: index % 2 ? "none" : "pretrained",
        runs: [[0.1, 0.2], [0.2, NaN]],
        ...(index === 2 ? { status: "failed" as const, message: LONG } : {}),
      }));
      const comparison = madeComparison(variants, 2);
      await writeComparison(folder, comparison);
      const path = await writeComparisonReport(folder, comparison);
      for (const colorScheme of ["light", "dark"] as const) {
        await withPage({ colorScheme }, async (page) => {
          page.on("dialog", (dialog) => assert.fail(`The page asked: ${dialog.message()}`));
          await page.goto(pathToFileURL(path).href);
          for (const width of [360, 768, 1440]) {
            await page.setViewportSize({ width, height: 900 });
            await eventually(async () => {
              const cut = await page.evaluate(`[...document.querySelectorAll(
              ".tile, .tile dd, .callout, td, th, .legend-item, .head h1")].filter((element) =>
              element.checkVisibility() && (element.scrollWidth > element.clientWidth + 1 ||
              element.scrollHeight > element.clientHeight + 2) && element.clientWidth > 0)
              .map((element) => element.outerHTML.slice(0, 80))`);
              assert.deepEqual(cut, [], `${width} px`);
              const wide = "document.documentElement.scrollWidth - innerWidth";
              assert.ok(await page.evaluate(wide) as number <= 0, `${width} px`);
            });
          }
          await assertAccessible(page, `the comparison's report, ${colorScheme}`);
          if (colorScheme === "light") return;
          await page.emulateMedia({ media: "print" });
          const tall = await page.evaluate(
            "[...document.querySelectorAll('.tall')].filter((box) => box.scrollHeight > box.clientHeight + 1).length",
          );
          assert.equal(tall, 0, "printed whole");
          const back = await page.evaluate("getComputedStyle(document.body).backgroundColor");
          assert.equal(back, "rgb(255, 255, 255)", "printed light");
        });
      }
    }),
);

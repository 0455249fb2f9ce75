import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import type { Locator, Page } from "playwright-core";
import { writeReport } from "../../src/report/report.ts";
import { assertAccessible } from "../support/accessibility.ts";
import { browserTest, type PageOptions, withPage } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type FinishedRun, makeFinishedRun } from "../support/finished_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Names that a careless page would take for something else. */
const ODD_NAMES = [
  "<img src=x onerror=alert(1)>",
  `"quoted" & 'single' </script><script>alert(2)</script>`,
  "two\nlines",
  "تفاح \u202egnp.exe",
  "very-long-".repeat(24),
  "__proto__",
  "javascript:alert(3)",
];

/** Makes a report of a made run and opens it as a double-click would. */
async function withReport(
  run: FinishedRun,
  options: PageOptions,
  use: (page: Page, requests: string[]) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder, run);
    const path = await writeReport(folder);
    await withPage(options, async (page) => {
      const requests: string[] = [];
      page.on("request", (request) => requests.push(request.url()));
      page.on("dialog", (dialog) => assert.fail(`The page asked: ${dialog.message()}`));
      await page.goto(pathToFileURL(path).href);
      await use(page, requests);
    });
  });
}

/** Waits until an element's text is this, or fits. */
const seeText = (element: Locator, text: string | RegExp) =>
  eventually(async () => {
    const seen = (await element.textContent())!;
    if (typeof text === "string") assert.equal(seen, text);
    else assert.match(seen, text);
  });

/** Waits until an element's attribute is so; `null`: it has none. */
const seeAttribute = (element: Locator, name: string, value: string | null) =>
  eventually(async () => assert.equal(await element.getAttribute(name), value));

const count = (page: Page, selector: string) => page.locator(selector).count();

browserTest(
  "the report asks for nothing but itself, and draws its charts",
  () =>
    withReport({}, {}, async (page, requests) => {
      assert.equal(await count(page, ".chart-plot canvas"), 6);
      assert.deepEqual(requests.filter((url) => !url.startsWith("data:")), [page.url()]);
      const broken = "[...document.images].filter((image) => !image.naturalWidth).length";
      assert.equal(await page.evaluate(broken), 0);
      const painted = `[...document.querySelectorAll(".chart-plot canvas")].every(
        (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
          .some((value) => value > 0))`;
      await eventually(async () => assert.equal(await page.evaluate(painted), true));
    }),
);

browserTest(
  "a chart of the report tells its values on hover, by keys and as a table",
  () =>
    withReport({}, {}, async (page) => {
      const chart = page.locator("#chart-loss");
      const over = chart.locator(".u-over");
      await over.scrollIntoViewIfNeeded();
      const box = (await over.boundingBox())!;
      await page.mouse.move(box.x + 2, box.y + box.height / 2);
      const tip = chart.locator(".chart-tip");
      await seeText(tip, /Epoch 1training1\.0000validation1\.2000/);
      await page.mouse.move(box.x + box.width - 2, box.y + box.height / 2);
      await seeText(tip, /Epoch 4training0\.2500validation0\.3000/);
      // Charts of epochs move together.
      await seeText(page.locator("#chart-accuracy .chart-tip"), /Epoch 4/);

      await chart.locator(".chart-plot").focus();
      for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowLeft"]) {
        await page.keyboard.press(key);
      }
      const said = chart.locator("[data-chart-said]");
      await seeText(said, "Epoch 2: training 0.5000, validation 0.6000");
      await page.keyboard.press("Escape");
      await tip.waitFor({ state: "hidden" });

      await chart.getByText("Values as a table").click();
      await eventually(async () => {
        const rows = await chart.locator("tbody tr").allTextContents();
        assert.deepEqual(rows.slice(0, 2), ["11.00001.2000", "20.50000.6000"]);
      });

      const button = chart.getByRole("button", { name: "training" });
      await button.click();
      await seeAttribute(button, "aria-pressed", "false");
      await chart.locator(".chart-plot").focus();
      await page.keyboard.press("End");
      await seeText(said, "Epoch 4: validation 0.3000");
    }),
);

browserTest(
  "a step's time adds up, and layers that are switched off leave it",
  () =>
    withReport({}, {}, async (page) => {
      const chart = page.locator("#chart-breakdown");
      await chart.locator(".chart-plot").focus();
      await page.keyboard.press("End");
      const said = chart.locator("[data-chart-said]");
      await seeText(
        said,
        "Step 40: update 2.0 ms, waiting for slower workers 20.0 ms, exchange 5.0 ms, " +
          "waiting for data 4.0 ms, forward and backward 60.0 ms, Total 91.0 ms",
      );
      await chart.getByRole("button", { name: "forward and backward" }).click();
      await chart.locator(".chart-plot").focus();
      await page.keyboard.press("Home");
      await seeText(said, /^Step 1: .*, Total 31\.0 ms$/);
    }),
);

browserTest(
  "the report's tables sort by a click on a head",
  () =>
    withReport({}, {}, async (page) => {
      const table = page.locator("#classes table");
      const names = () => table.locator("tbody th").allTextContents();
      const head = table.getByRole("columnheader", { name: "F1", exact: true });
      const seeNames = (...expected: string[]) =>
        eventually(async () => assert.deepEqual(await names(), expected));
      await seeNames("ant", "bee", "crab");
      await head.getByRole("button").click();
      await seeAttribute(head, "aria-sort", "descending");
      await seeNames("bee", "crab", "ant");
      await head.getByRole("button").click();
      await seeAttribute(head, "aria-sort", "ascending");
      await seeNames("ant", "crab", "bee");
      await table.getByRole("button", { name: "Class" }).click();
      await seeAttribute(head, "aria-sort", null);
      await seeNames("ant", "bee", "crab");
    }),
);

browserTest(
  "the report's theme follows the system until it is chosen, and the choice stays",
  () =>
    withReport({}, { colorScheme: "dark" }, async (page) => {
      const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
      const pixel = () =>
        page.evaluate(`(() => {
        const canvas = document.querySelector("#chart-loss canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
        return [seen.has("86,180,233"), seen.has("0,114,178")].join();
      })()`);
      const see = (colour: string, drawn: string) =>
        eventually(async () => {
          assert.equal(await background(), colour);
          assert.equal(await pixel(), drawn, "charts are drawn in the theme's colours");
        });
      const [light, dark] = ["rgb(245, 246, 248)", "rgb(14, 18, 23)"];
      await see(dark, "true,false");
      const toggle = page.locator("[data-theme-toggle]");
      await toggle.click();
      await see(light, "false,true");
      await page.reload();
      await see(light, "false,true");
      assert.match((await toggle.getAttribute("aria-label"))!, /^Theme: Light/);
      await toggle.click();
      await toggle.click();
      await see(dark, "true,false");
    }),
);

browserTest(
  "names from the data can't do anything in the report",
  () =>
    withReport({ classes: ODD_NAMES }, { width: 360 }, async (page) => {
      const sources = await page.evaluate(
        "[...document.images].map(({ src }) => src.slice(0, 11)).join()",
      );
      assert.match(sources as string, /^(data:image\/,?)+$/);
      const names = await page.locator("#classes tbody th").allTextContents();
      assert.deepEqual(names, ODD_NAMES.map((name) => name.replace("\u202e", "\\u202e")));
      const scripts = await page.evaluate(
        "[...document.scripts].map(({ src, type }) => src + type).join('|')",
      );
      assert.equal(scripts, "|application/json|||||", "the page's own");
      assert.doesNotMatch(
        (await page.evaluate(
          "[...document.querySelectorAll('a')].map(({ href }) => href).join()",
        )) as string,
        /javascript:/,
      );
      const { scrollWidth, innerWidth } = await widths(page);
      assert.ok(scrollWidth <= innerWidth, `${scrollWidth} > ${innerWidth}`);
    }),
);

browserTest("names in the report's tiles break only where a row ends", async () => {
  const long = `architecture_${"of_many_words_".repeat(12)}`;
  for (const name of ["efficientnet_lite0", long]) {
    await withReport({ model: name }, {}, async (page) => {
      for (const width of [320, 360, 768, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        const lines = await page.evaluate(`(() => {
          const name = document.querySelector(".tile .text");
          const range = document.createRange();
          range.selectNodeContents(name);
          const tops = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
          const tile = name.closest(".tile").getBoundingClientRect();
          const row = document.querySelector(".tiles").getBoundingClientRect();
          return {
            text: name.textContent,
            lines: tops.size,
            inside: tile.right <= row.right + 0.5 && tile.left >= row.left - 0.5,
            overflows: [...document.querySelectorAll(".tile, .tile dd")].filter(
              (each) => each.scrollWidth > each.clientWidth + 1).length,
          };
        })()`) as { text: string; lines: number; inside: boolean; overflows: number };
        assert.equal(lines.text, name);
        assert.ok(lines.inside && lines.overflows === 0, `${name} at ${width} px`);
        if (name === long) assert.ok(lines.lines <= (width < 400 ? 9 : 3), `${lines.lines} lines`);
        else assert.equal(lines.lines, 1, `${name} at ${width} px`);
      }
    });
  }
});

browserTest("the report fits narrow and wide windows", async () => {
  for (const width of [320, 360, 1000, 1600]) {
    const run = { classes: ODD_NAMES.concat("plain"), losses: true };
    await withReport(run, { width }, async (page) => {
      const { scrollWidth, innerWidth } = await widths(page);
      assert.equal(innerWidth, width);
      assert.ok(scrollWidth <= width, `${scrollWidth} in a window of ${width}`);
    });
  }
});

browserTest(
  "a window of 1100 pixels shows all columns of a report of few classes",
  () =>
    withReport({ losses: true }, { width: 1100 }, async (page) => {
      assert.ok(await page.locator(".confusion .matrix").isVisible());
      const cut = await page.evaluate(
        "[...document.querySelectorAll('.scroll')]" +
          ".filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)" +
          ".map((each) => each.ariaLabel)",
      );
      assert.deepEqual(cut, []);
    }),
);

browserTest("axe finds nothing serious in the report, in light and in dark", async () => {
  const cases: [PageOptions, boolean][] = [
    [{ colorScheme: "light", width: 360 }, false],
    [{ colorScheme: "dark", width: 1280 }, false],
    [{ colorScheme: "light", width: 1280 }, true],
  ];
  for (const [options, failed] of cases) {
    await withReport({ failed, losses: true }, options, async (page) => {
      await page.evaluate(
        "document.querySelectorAll('details').forEach((each) => each.open = true)",
      );
      await page.waitForSelector("#chart-loss tbody tr");
      await assertAccessible(page, JSON.stringify(options));
    });
  }
});

browserTest(
  "the report prints light, without what only a screen can do",
  () =>
    withReport({}, { colorScheme: "dark" }, async (page) => {
      await page.emulateMedia({ media: "print", colorScheme: "dark" });
      assert.equal(
        await page.evaluate("getComputedStyle(document.body).backgroundColor"),
        "rgb(255, 255, 255)",
      );
      assert.equal(await page.locator(".contents").isVisible(), false);
      assert.ok((await page.pdf()).length > 50_000);
    }),
);

async function widths(page: Page): Promise<{ scrollWidth: number; innerWidth: number }> {
  return await page.evaluate(
    "({ scrollWidth: document.documentElement.scrollWidth, innerWidth })",
  ) as { scrollWidth: number; innerWidth: number };
}

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { Dashboard } from "../../src/dashboard/server.ts";
import { EventLog } from "../../src/records/event_log.ts";
import { writeLiveStatus } from "../../src/records/live_status.ts";
import { MetricsLog } from "../../src/records/metrics_log.ts";
import { assertAccessible } from "../support/accessibility.ts";
import { browserTest, withPage } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import {
  keepLive,
  MADE_LOSSES,
  madeEpoch,
  madePoint,
  madeStatus,
  makeRun,
} from "../support/made_run.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, startCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const EVIL = "<img src=x onerror=alert(1)>";

/** Long enough for what trains behind a page, on a busy machine. */
const PATIENT = { seconds: 120 };

/** Waits until an element's text fits. */
const seeText = (page: Page, selector: string, pattern: RegExp) =>
  eventually(async () => {
    const text = await page.textContent(selector) ?? "";
    assert.match(text, pattern, `${selector} doesn't show ${pattern}, but: ${text}`);
  }, PATIENT);

/** Waits until so many elements are there. */
const seeCount = (page: Page, selector: string, count: number) =>
  eventually(async () => assert.equal(await page.locator(selector).count(), count), PATIENT);

/** Waits until so many epochs are in the table. */
const seeEpochs = (page: Page, count: number) =>
  eventually(async () => {
    const text = await page.textContent("#epochs tbody th, #epochs tbody td");
    assert.ok(parseInt(text ?? "") >= count, `no ${count} epochs in the table, but: ${text}`);
  }, PATIENT);

const tile = (key: string) => `[data-tile="${key}"]`;

browserTest(
  "the run page shows what is there, and what comes, without a reload",
  () =>
    withTemporaryFolder(async (folder) => {
      const run = await makeRun(folder, "second", { end: "running" });
      let status = madeStatus();
      await using _live = keepLive(run, () => status);
      await using dashboard = new Dashboard({ folder, home: "second", port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        await page.goto(dashboard.url);
        assert.match(page.url(), /\/runs\/second$/);
        await seeText(page, "#state", /^Running$/);
        await seeText(page, tile("epoch"), /^3 \/ 5$/);
        await seeText(page, tile("best"), /^75\.0%$/);
        await seeText(page, "#epoch-text", /training: 20 of 40 images/);
        await seeText(page, "#run-text", /^50% of 5 epochs$/);
        await seeText(page, tile("eta"), /^8\.8 s$/); // 2.5 epochs of 3.5 s
        await seeText(page, "#ranks", /Rank 1.*the others wait for it/);
        await seeText(
          page,
          "#workers tbody",
          /Rank 0somewhere, pid 2000training35400 MB0\.4 s ago/,
        );
        assert.equal(await page.isVisible("#processes"), true);
        assert.equal(await page.isVisible("#gpus-card"), false, "there is no GPU");
        await seeText(page, "#log", /Data: 40 training images/);
        await seeCount(page, "#epochs tbody tr", 2);

        using metrics = await MetricsLog.open(run, { epoch: 2, step: 10 });
        using events = new EventLog(run);
        metrics.append({ ...madePoint(3, 10), loss: 0.1234 });
        events.append("epoch", madeEpoch(3, 0.9));
        const gpu = {
          index: 0,
          name: "Big One",
          utilization: 0.87,
          memoryUsedBytes: 1e10,
          memoryTotalBytes: 4e10,
        };
        const later = madeStatus({ epoch: 4, done: 0, gpus: [gpu] });
        const workers = later.workers.map((worker) => ({
          ...worker,
          gpu: { index: worker.rank, name: "Big One" },
        }));
        status = { ...later, workers };
        await seeText(page, tile("loss"), /^0\.1234$/);
        await seeText(page, tile("best"), /^90\.0%$/);
        await seeText(page, "#epochs tbody", /^3 \(best\)/);
        await seeText(page, "#workers tbody", /Rank 1somewhere, pid 2001, GPU 1: Big Onetraining/);
        await seeText(page, "#gpus tbody", /0: Big One87\.0%10\.0 GB of 40\.0 GB/);

        events.append("failed", { message: `Rank 1 was killed ${EVIL}` });
        await seeText(page, "#state", /^Failed$/);
        await seeText(page, "#message", /Rank 1 was killed <img/);
        await seeText(page, tile("eta"), /^–$/);
        assert.equal(await page.isVisible("#processes"), false, "the processes are gone");
        assert.equal(await page.isVisible("#gpus-card"), true, "the GPU as of the last step");
      });
    }),
);

browserTest(
  "a loss of workers and the recovery from it show as they come, on the run's page and in the list",
  () =>
    withTemporaryFolder(async (folder) => {
      const run = await makeRun(folder, "second", { end: "running" });
      await using _live = keepLive(run, madeStatus);
      await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        await page.goto(`${dashboard.url}runs/second`);
        await seeText(page, "#state", /^Running$/);
        assert.equal(await page.isVisible("#incidents-section"), false);
        using events = new EventLog(run);
        const [[, lost], [, recovery], ...later] = MADE_LOSSES;
        events.append("workersLost", lost);
        await page.waitForSelector("#recovering:not([hidden])");
        await seeText(
          page,
          "#incidents tbody",
          /epoch 1, step 6 \(training\)Rank 1 .*recovering––$/,
        );
        events.append("recovery", recovery);
        await page.waitForSelector("#recovering[hidden]", { state: "attached" });
        await seeText(page, "#incidents tbody", /started again, from epoch 1, step 631\.3 s$/);
        for (const [type, fields] of later) events.append(type, fields);
        await seeCount(page, "#incidents tbody tr", 2);
        await seeText(page, "#incidents-note", /^2 recoveries took 7\.8 s in all\.$/);
        await seeText(
          page,
          "#incidents tbody",
          /^.*Rank 0 .*<img src=x.*without them, from epoch 2/s,
        );
        assert.equal(await page.locator("img[src=x]").count(), 0);
        events.append("workersLost", lost);
        await page.waitForSelector("#recovering:not([hidden])");
        await page.goto(`${dashboard.url}runs`);
        await seeText(
          page,
          "#runs tbody",
          /Running Recovering2 recoveries, 7\.8 s in all.*plain_cnn1/,
        );
        events.append("failed", { message: "Rank 1 was lost again" });
        await seeText(page, "#runs tbody", /Failed2 recoveries, 7\.8 s in all/);
        await page.goto(`${dashboard.url}runs/second`);
        await seeText(page, "#incidents tbody", /^.*the session ended––/);
        assert.equal(await page.isVisible("#recovering"), false);
      });
    }),
);

browserTest(
  "an ended run's page leaves out what the run has nothing of",
  () =>
    withTemporaryFolder(async (folder) => {
      await makeRun(folder, "finished");
      await makeRun(folder, "early", { epochs: 0, end: "failed", message: "No broker" });
      await makeRun(folder, "going", { epochs: 0, end: "running" });
      await Deno.remove(join(folder, "early", "run.log"));
      await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
      const parts = ["curves-section", "workers-section", "steps", "processes", "gpus-card"];
      const all = [...parts, "epochs-section", "pictures-section", "log-section"];
      const expected = {
        finished: ["curves-section", "workers-section", "steps", "epochs-section", "log-section"],
        early: [],
        going: all.filter((id) => id !== "gpus-card"),
      };
      await withPage({}, async (page) => {
        for (const [id, shown] of Object.entries(expected)) {
          await page.goto(`${dashboard.url}runs/${id}`);
          await eventually(async () => {
            const seen = [];
            for (const part of all) if (await page.isVisible(`#${part}`)) seen.push(part);
            assert.deepEqual(seen, shown, id);
          });
          assert.doesNotMatch((await page.textContent("main"))!, /no GPU|says anything now/);
          const empty = await page.evaluate(
            "[...document.querySelectorAll('table')].filter((table) => table.checkVisibility() && " +
              "table.closest('details') === null && table.tBodies[0].rows.length === 0).length",
          );
          assert.equal(empty, 0, `empty tables of ${id}`);
        }
      });
    }),
);

browserTest(
  "the run page goes on by itself when the server was gone for a while",
  () =>
    withTemporaryFolder(async (folder) => {
      const run = await makeRun(folder, "second", { end: "killed" });
      const first = new Dashboard({ folder, port: 0, pollMs: 50 });
      const { port } = first;
      await withPage({ allowErrors: true }, async (page) => {
        await page.goto(`${first.url}runs/second`);
        await seeText(page, "#state", /^Lost$/);
        await first[Symbol.asyncDispose]();
        await page.waitForSelector("#connection:not([hidden])", { timeout: 120_000 });
        // The run is resumed within epoch 2: what it has of that epoch from step 4 on is made again.
        using metrics = await MetricsLog.open(run, { epoch: 2, step: 4 });
        using events = new EventLog(run);
        events.append("resumed", { epoch: 2, step: 4 });
        metrics.append({ ...madePoint(2, 6), loss: 0.7777 });
        await using _live = keepLive(run, () => madeStatus({ epoch: 2 }));
        await using second = new Dashboard({ folder, port, pollMs: 50 });
        await page.waitForSelector("#connection[hidden]", { state: "attached", timeout: 120_000 });
        await seeText(page, "#state", /^Running$/);
        await seeText(page, tile("loss"), /^0\.7777$/);
        await seeText(page, "#epochs tbody", /^1 \(best\)/);
        await seeCount(page, "#epochs tbody tr", 1);
        assert.equal(second.streams, 1);
      });
    }),
);

browserTest(
  "names from outside are text on every page",
  () =>
    withTemporaryFolder(async (folder) => {
      const id = `${EVIL.replaceAll(" ", "_")}'"`;
      await makeRun(folder, id, {
        name: EVIL,
        end: "failed",
        message: `No file ${EVIL}`,
        log: [`classes (${EVIL}, </script><script>alert(2)</script>)`],
        config: { model: { name: EVIL }, data: { root: `${EVIL}</pre><script>alert(3)</script>` } },
      });
      await makeRun(folder, "plain", { config: { data: { root: "photos" } } });
      await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        let dialogs = 0;
        page.on("dialog", async (dialog) => {
          dialogs++;
          await dialog.dismiss();
        });
        const address = encodeURIComponent(id);
        await page.goto(`${dashboard.url}runs/${address}`);
        await seeText(page, "h1", /^<img src=x onerror=alert\(1\)>$/);
        await seeText(page, "#message", /No file <img src=x/);
        await seeText(page, "#log", /<\/script><script>alert\(2\)/);
        await page.goto(`${dashboard.url}runs`);
        await seeText(page, "#runs tbody", /onerror=alert/);
        await page.goto(`${dashboard.url}compare?run=${address}&run=plain`);
        await seeText(page, "#results tbody", /onerror=alert/);
        await seeText(page, "main", /data\.root.*photos/s);
        assert.equal(await page.locator("img[src=x]").count(), 0);
        assert.equal(dialogs, 0);
      });
    }),
);

browserTest(
  "marks of direction and controls are escapes on every page, whatever way their text came",
  () =>
    withTemporaryFolder(async (folder) => {
      const odd = "a\u202eb\u0007c";
      const id = "id\u202e-x";
      const run = await makeRun(folder, id, {
        name: odd,
        end: "running",
        log: [`log ${odd}`],
        config: { model: { name: odd }, data: { root: odd } },
      });
      await makeRun(folder, "plain", { end: "failed", message: `message ${odd}` });
      const status = madeStatus();
      const workers = status.workers.map((worker) => ({ ...worker, host: `host ${odd}` }));
      const gpus = [{ index: 0, name: `gpu ${odd}` }];
      await writeLiveStatus(run, { ...status, workers, gpus });
      await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        const hidden =
          // deno-lint-ignore no-control-regex -- that is what is looked for
          /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
        const seen = async () => {
          const texts = await page.evaluate(`[document.title, ...[...document.querySelectorAll(
            "body, body *:not(script)")].flatMap((element) => [
              ...[...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data),
              ...[...element.attributes].filter(({ name }) => !["href", "src"].includes(name))
                .map(({ value }) => value)])]`) as string[];
          const wrong = texts.filter((text) => hidden.test(text));
          assert.deepEqual(wrong, [], page.url());
          return texts.join("\n");
        };
        const address = encodeURIComponent(id);
        await page.goto(`${dashboard.url}runs/${address}`);
        await seeText(page, "#log", /log a\\u202eb\\x07c/);
        await seeText(page, "#workers tbody", /host a\\u202eb\\x07c/);
        await seeText(page, "#gpus tbody", /gpu a\\u202eb\\x07c/);
        assert.match(await seen(), /a\\u202eb\\x07c · Lockstep/);
        await page.goto(`${dashboard.url}runs/plain`);
        await seeText(page, "#message", /message a\\u202eb\\x07c/);
        await seen();
        await page.goto(`${dashboard.url}runs`);
        await seeText(page, "#runs tbody", /id\\u202e-x/);
        assert.match(await seen(), /message a\\u202eb\\x07c/); // the title of the state
        await page.goto(`${dashboard.url}compare?run=${address}&run=plain`);
        await seeText(page, "#results tbody", /id\\u202e-x/);
        await page.hover("#chart-accuracy .u-over");
        await page.click("#chart-accuracy summary");
        await seeText(page, "#chart-accuracy .chart-legend", /id\\u202e-x/);
        await seeText(page, "#chart-accuracy table", /id\\u202e-x/);
        await seen();
        await page.click(`a[href="/runs/${address}"]`); // its address is the real one
        await seeText(page, "h1", /^a\\u202eb/);
      });
    }),
);

browserTest(
  "the list goes on by itself, and leads to a comparison",
  () =>
    withTemporaryFolder(async (folder) => {
      await makeRun(folder, "first", { config: { train: { epochs: 5, lr: 0.1 } } });
      const second = await makeRun(folder, "second", { end: "running", epochs: 1 });
      await using _live = keepLive(second, madeStatus);
      await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
      await withPage({}, async (page) => {
        await page.goto(dashboard.url);
        await seeText(page, "#runs tbody", /secondRunningplain_cnn21 \/ 550\.0%/);
        await page.check("input[aria-label='Compare first']");
        const compare = page.locator("#compare");
        const seeDisabled = (value: string) =>
          eventually(async () => assert.equal(await compare.getAttribute("aria-disabled"), value));
        await seeDisabled("true");
        await makeRun(folder, "third", { epochs: 4 });
        await seeText(page, "#runs tbody", /thirdFinished/);
        assert.ok(
          await page.isChecked("input[aria-label='Compare first']"),
          "what was ticked stays so",
        );
        await page.check("input[aria-label='Compare second']");
        await seeDisabled("false");
        await compare.click();
        await page.waitForURL(/\/compare\?run=first&run=second$/);
        await seeText(page, "#results tbody", /firstFinished.*75\.0%2/);
        await seeText(page, "main", /train\.lr\s*0\.1\s*0\.01/);
        await seeCount(page, "#chart-accuracy canvas", 1);
        using events = new EventLog(second);
        events.append("epoch", madeEpoch(2, 0.99));
        await seeText(page, "#results tbody", /secondRunning.*99\.0%2/);
      });
    }),
);

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [360, 1600]) {
    browserTest(
      `the pages are accessible and fit ${width} px, ${colorScheme}`,
      () =>
        withTemporaryFolder(async (folder) => {
          await makeRun(folder, "20261124-101112-food-groups-with-a-long-name", {
            end: "running",
            losses: true,
          });
          await makeRun(folder, "20261124-091112-other", {
            end: "failed",
            message: "Rank 1 was killed",
          });
          await using dashboard = new Dashboard({ folder, port: 0, pollMs: 50 });
          await withPage({ width, colorScheme }, async (page) => {
            const runs = ["20261124-101112-food-groups-with-a-long-name", "20261124-091112-other"];
            const paths = [
              "runs",
              ...runs.map((id) => `runs/${id}`),
              `compare?run=${runs.join("&run=")}`,
            ];
            for (const path of paths) {
              await page.goto(dashboard.url + path);
              if (path.startsWith("runs/")) await seeText(page, tile("best"), /%$/);
              else if (path.startsWith("compare")) await seeText(page, "#results tbody", /%/);
              assert.ok(
                await page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
                `${path} is wider than ${width} px`,
              );
              await assertAccessible(page, path);
            }
          });
        }),
    );
  }
}

browserTest(
  "an address that leads nowhere gets a page that says so",
  () =>
    withTemporaryFolder(async (folder) => {
      await using dashboard = new Dashboard({ folder, port: 0 });
      await withPage({ allowErrors: true }, async (page) => {
        const response = await page.goto(`${dashboard.url}runs/${encodeURIComponent(EVIL)}`);
        assert.equal(response?.status(), 404);
        await seeText(page, "main", /<img src=x onerror=alert\(1\)> leads nowhere/);
        await assertAccessible(page, "nowhere");
      });
    }),
);

browserTest(
  "train --dashboard shows a real run while it trains, after a reload, and when it is resumed",
  () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root, { classes: ["dark", EVIL.replaceAll("/", "")] });
      const port = freePort();
      const config = tinyConfig(root, {
        workers: 2,
        train: { epochs: 300, batchSize: 4 },
        liveness: { lostAfter: 60 }, // a browser and three processes on a busy machine
      });
      await using training = await startTrain(folder, config, ["--dashboard", String(port)]);
      await training.seen(new RegExp(`Dashboard: http://127\\.0\\.0\\.1:${port}/`));
      await withPage({ allowErrors: true }, async (page) => {
        await page.goto(`http://127.0.0.1:${port}/`);
        await seeText(page, "#state", /^Running$/);
        await seeEpochs(page, 2);
        await seeText(page, "#workers tbody", /Rank 1/);
        await seeText(page, "#log", /onerror=alert/);
        await page.reload();
        await seeText(page, tile("loss"), /^\d\.\d{4}$/);
        await seeText(page, tile("speed"), /img\/s/);
        training.kill("SIGINT");
        assert.equal((await training.result).code, 130);
        await seeText(page, "#state", /^Interrupted$/);
        const run = await newestRun(join(folder, "runs"));
        const epochs = await page.locator("#epochs tbody tr").count();
        await using resumed = startCommand(["train", "--resume", run], folder);
        await resumed.seen(/epoch +\d+\//);
        await seeText(page, "#state", /^Running$/);
        await seeEpochs(page, epochs + 1);
        assert.equal(await page.locator("img[src=x]").count(), 0);
      });
    }),
);

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

import assert from "node:assert/strict";
import { join } from "node:path";
import { EventLog } from "../../src/records/event_log.ts";
import { configEntries } from "../../src/report/changed_keys.ts";
import { readReportPictures, saveReportPictures } from "../../src/report/report_pictures.ts";
import { readRunFiles } from "../../src/report/run_files.ts";
import { renderReport, writeReport } from "../../src/report/report.ts";
import { resumeCommand, runStatus } from "../../src/report/run_status.ts";
import { writeHistory } from "../../src/records/history.ts";
import { makeFinishedRun } from "../support/finished_run.ts";
import { madeRecovery } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** The text of a page without its tags, scripts and styles. */
function textOf(page: string): string {
  return page.replace(/<(script|style)\b.*?<\/\1>/gs, "").replace(
    /<[^>]*>/g,
    " ",
  )
    .replace(/\s+/g, " ").replaceAll("&#39;", "'");
}

Deno.test("writeReport() shows every part of a run, in one file of bounded size", () =>
  withTemporaryFolder(async (folder) => {
    const run = join(folder, "20261123-165456-tiny");
    await makeFinishedRun(run);
    const path = await writeReport(run);
    assert.equal(path, join(run, "report.html"));
    const page = await Deno.readTextFile(path);
    assert.ok(page.length < 3_000_000, `${page.length} bytes`);
    const text = textOf(page);
    for (
      const part of [
        /tiny ✓ finished ◐ Theme 20261123-165456-tiny , begun /,
        /Best accuracy 76\.2% validation, epoch 3/,
        /Epochs 4 \/ 4/,
        /Throughput 81\.0 img\/s/,
        /Duration 1 min 15 s/,
        /Model plain_cnn/,
        /1 warning, 1 image left out/,
        /Rank 1 is slow/,
        /train\/ant\/broken\.jpg it is cut short/,
        /Worst mistakes The surest first: 3 of 5 mistakes/,
        /The first 2 images of epoch 1, step 0, augmented and mixed as the workers got them/,
        /70% bee 30% ant/,
        /The mean step: 91\.0 ms/,
        /forward and backward 60\.0 ms \(65\.9%\)/,
        /1 slow 160 40\.0 img\/s/,
        /train\.lr set 0\.05/,
        /train\.momentum 0\.9/,
        /predictions\.csv what the best weights make of each validation image/,
      ]
    ) assert.match(text, part);
    assert.match(text, /environment\.json is missing/, "what is lacking is told");
    assert.doesNotMatch(page, /\ssrc="(?!data:image\/)/, "nothing is loaded");
  }));

Deno.test("writeReport() shows lost workers and what the recoveries cost, by events or history, and nothing without", () =>
  withTemporaryFolder(async (folder) => {
    const report = async () => await Deno.readTextFile(await writeReport(folder));
    await makeFinishedRun(folder);
    assert.doesNotMatch(textOf(await report()), /Lost workers|workers? lost/);
    await Deno.remove(join(folder, "events.jsonl"));
    await makeFinishedRun(folder, { losses: true });
    const page = await report();
    const text = textOf(page);
    for (
      const part of [
        /3 workers lost, 2 recoveries took 7\.8 s: see Lost workers and recoveries/,
        /2 recoveries took 7\.8 s in all, 10\.3% of the run's time\./,
        /UTC epoch 1, step 6 \(training\) Rank 1 \(pid 2001\) was ended by SIGKILL in epoch 1, step 6 on here started again, from epoch 1, step 6 3 1\.3 s/,
        /epoch 2, step 10 \(validation\) Rank 0 \(pid 2000\) exited with code 1/,
        /on here, GPU 0 \(NVIDIA L4, GPU-4ab1\) Rank 2 has been silent for 20 s pid 2002, on there without them, from epoch 2, step 10 1 6\.5 s/,
      ]
    ) assert.match(text, part);
    assert.doesNotMatch(page, /<img src=x/);
    assert.deepEqual(
      [...page.matchAll(/\{"x":(\d+),"label":"recovery"\}/g)].map(([, x]) => Number(x)),
      [6, 20],
      "the chart of the speed marks their steps",
    );

    {
      using events = new EventLog(folder);
      const workers = Array.from({ length: 50 }, (_, rank) => ({ rank, reason: "no power" }));
      for (let count = 0; count < 250; count++) {
        events.append("workersLost", { epoch: 3, step: count, during: "saving", workers });
        events.append("resumed", { epoch: 3, step: 0 });
      }
      events.append("workersLost", { epoch: 3, step: 250, during: "saving", workers });
      events.append("failed", { message: "The workers were lost again" });
    }
    const many = await report();
    assert.ok(many.length < 3_000_000, `${many.length} bytes`);
    assert.match(textOf(many), /epoch 3, step 250 \(saving\) Rank 0: no power/);
    assert.match(textOf(many), /and 42 workers more the session ended – –/);
    assert.match(textOf(many), /and 53 before, in events\.jsonl/);

    {
      using events = new EventLog(folder);
      const facts = { ranks: [], reasons: ["NCCL <b> stands still"], workers: 2, seconds: 3 };
      events.append("recovery", { policy: "restart", epoch: 4, step: 2, ...facts });
    }
    assert.match(
      textOf(await report()),
      /none: the exchange between the ranks failed NCCL &lt;b&gt; stands still connected anew, from epoch 4, step 2 2 3\.0 s/,
    );

    const history = { ...await makeFinishedRun(folder), recoveries: [madeRecovery(2)] };
    await Deno.writeTextFile(join(folder, "events.jsonl"), "");
    await writeHistory(folder, history);
    assert.match(
      textOf(await report()),
      /epoch 2, step 3 Rank 1 \(pid 2001\) was ended by SIGKILL started again, from epoch 2, step 3 2 1\.3 s/,
    );
  }));

Deno.test("writeReport() names the workers' GPUs", () =>
  withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder);
    const devices = ["NVIDIA L4", "NVIDIA T4", "NVIDIA L4"];
    const environment = { workers: 3, threadsPerWorker: 4, devices };
    await Deno.writeTextFile(join(folder, "environment.json"), JSON.stringify(environment));
    const text = textOf(await Deno.readTextFile(await writeReport(folder)));
    assert.match(text, /Workers \d 2 × NVIDIA L4, NVIDIA T4, 4 threads each/);
    assert.match(text, /Devices 2 × NVIDIA L4, NVIDIA T4 Workers 3/);
  }));

Deno.test("writeReport() makes do with what there is", () =>
  withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder);
    const files = [
      "events.jsonl",
      "metrics.jsonl",
      "predictions.csv",
      "report_pictures.json",
      "history.json",
      "config.yaml",
    ];
    // As an older version left them: augmented only.
    const pictures = await readReportPictures(folder);
    await saveReportPictures(folder, { ...pictures, batchAsTrained: undefined });
    const older = textOf(await Deno.readTextFile(await writeReport(folder)));
    assert.match(older, /epoch 1, step 0, augmented, but not mixed\./);
    for (const file of files) {
      await Deno.remove(join(folder, file));
      await writeReport(folder);
    }
    const text = textOf(await Deno.readTextFile(join(folder, "report.html")));
    assert.match(text, /no epoch was finished/);
    for (const file of ["history.json", "config.yaml", "events.jsonl"]) {
      assert.match(text, new RegExp(`${file} is missing`));
    }
  }));

Deno.test("writeReport() tells of files that hold something else", () =>
  withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder);
    for (
      const file of [
        "config.yaml",
        "history.json",
        "environment.json",
        "predictions.csv",
        "report_pictures.json",
      ]
    ) await Deno.writeTextFile(join(folder, file), "{ <b>broken");
    await Deno.writeTextFile(join(folder, "events.jsonl"), "half a li");
    await Deno.writeTextFile(join(folder, "metrics.jsonl"), "{}\n[1]\nnothing\n");
    const page = await Deno.readTextFile(await writeReport(folder));
    const text = textOf(page);
    for (
      const file of [
        "config.yaml",
        "history.json",
        "environment.json",
        "predictions.csv",
        "report_pictures.json",
      ]
    ) assert.match(text, new RegExp(`${file.replace(".", "\\.")} can't be used: `));
    assert.doesNotMatch(page, /<b>broken/);
  }));

Deno.test("a picture that isn't one doesn't get into the page", () =>
  withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder);
    const path = join(folder, "report_pictures.json");
    const pictures = JSON.parse(await Deno.readTextFile(path));
    pictures.samples[0].image = 'data:image/svg+xml,<svg onload="alert(1)">';
    await Deno.writeTextFile(path, JSON.stringify(pictures));
    const { pictures: read, notes } = await readRunFiles(folder);
    assert.equal(read, undefined);
    assert.match(notes.join(), /report_pictures\.json can't be used: .* holds no pictures/);
  }));

Deno.test("a report of 60 classes has the whole matrix; of more, a picture of bounded size", () =>
  withTemporaryFolder(async (folder) => {
    const names = (count: number) => Array.from({ length: count }, (_, index) => `class ${index}`);
    await makeFinishedRun(folder, { classes: names(60) });
    const whole = await renderReport(await readRunFiles(folder));
    assert.equal(whole.match(/<th scope="row" title="class \d+">/g)?.length, 60);
    assert.ok(whole.length < 3_000_000, `${whole.length} bytes`);
    for (const count of [61, 1000]) {
      await makeFinishedRun(folder, { classes: names(count), perClass: 2 });
      const some = await renderReport(await readRunFiles(folder));
      assert.doesNotMatch(some, /class="matrix/);
      assert.match(textOf(some), /With (61|1,000) classes, a cell is a dot/);
      assert.match(textOf(some), /class 0 class 1 1 50\.0%/);
      const [, side, png] =
        /<img class="pixelated" width="(\d+)"[^>]*src="data:image\/png;base64,([^"]+)"/
          .exec(some)!;
      assert.ok(Number(side) <= 960);
      const pixels = new DataView(Uint8Array.fromBase64(png).buffer);
      assert.deepEqual([pixels.getUint32(16), pixels.getUint32(20)], [Number(side), Number(side)]);
    }
  }));

Deno.test("runStatus() follows a run over its sessions", () =>
  withTemporaryFolder(async (folder) => {
    const at = (seconds: number) => new Date(1.8e12 + 1000 * seconds).toISOString();
    const events = [
      { time: at(0), type: "started" },
      { time: at(10), type: "interrupted", message: "Interrupted by SIGINT" },
      { time: at(100), type: "resumed" },
      { time: at(120), type: "epoch" },
    ];
    assert.deepEqual(runStatus(events.slice(0, 2), false), {
      state: "interrupted",
      message: "Interrupted by SIGINT",
      started: at(0),
      last: at(10),
      seconds: 10,
      sessions: 1,
    });
    const going = runStatus(events, true);
    assert.deepEqual([going.state, going.seconds, going.sessions], ["running", 30, 2]);
    const done = [...events, { time: at(140), type: "finished", seconds: 41 }];
    assert.deepEqual([runStatus(done, false).state, runStatus(done, false).seconds], [
      "finished",
      51,
    ]);
    assert.equal(runStatus([], false).state, "unknown");
    assert.equal(runStatus(events, false).state, "lost", "it was killed, as the dashboard says");

    await makeFinishedRun(folder);
    using log = new EventLog(folder);
    log.append("resumed");
    log.append("failed", { message: "Rank 1 <died>\nwith a trace" });
    const text = textOf(await renderReport(await readRunFiles(folder)));
    assert.match(text, /✗ failed/);
    assert.match(text, /The run failed: Rank 1 &lt;died&gt; with a trace/);
    assert.ok(text.includes(`deno task train --resume ${folder}`));
  }));

Deno.test("resumeCommand() quotes what a shell would take apart", () => {
  assert.equal(resumeCommand("runs/a-1"), "deno task train --resume runs/a-1");
  assert.equal(resumeCommand("my runs/it's"), `deno task train --resume 'my runs/it'\\''s'`);
});

Deno.test("configEntries() marks what differs from the defaults", () =>
  withTemporaryFolder(async (folder) => {
    const { config } = await makeFinishedRun(folder);
    const entries = new Map(configEntries(config).map(({ key, ...entry }) => [key, entry]));
    assert.deepEqual(entries.get("train.lr"), { value: 0.05, changed: true });
    assert.deepEqual(entries.get("train.momentum"), { value: 0.9, changed: false });
    assert.deepEqual(entries.get("seed"), { value: 0, changed: false });
    assert.equal(entries.get("data.val")?.changed, true);
    const foreign = configEntries({ ...config, unknownKey: 1 });
    assert.ok(foreign.every(({ changed }) => changed === undefined), "nothing is known of others");
  }));

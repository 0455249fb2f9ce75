import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { EpochRecord } from "../../src/records/history.ts";
import { terminalReporter } from "../../src/terminal/terminal_reporter.ts";
import { printable, type TerminalStream } from "../../src/terminal/terminal_stream.ts";
import { inPseudoTerminal, screenLines } from "../support/pseudo_terminal.ts";

const PLAY = fileURLToPath(new URL("../support/terminal_play.ts", import.meta.url));
const RECORD: EpochRecord = {
  epoch: 1,
  learningRate: 0.01,
  train: { loss: 1.2, accuracy: 0.7 },
  validation: { loss: 0.8, accuracy: 0.75, count: 57 },
  seconds: 4.21,
  imagesPerSecond: 63.2,
};

/** Plain streams that keep what is written, and a reporter with a clock that the test moves. */
function plainReporter(verbose = false) {
  const written = { out: "", error: "" };
  const clock = { now: 0 };
  const streamOf = (name: "out" | "error"): TerminalStream => ({
    isTerminal: false,
    columns: 80,
    write: (text) => {
      written[name] += text;
    },
  });
  const reporter = terminalReporter({
    verbose,
    stream: streamOf("out"),
    errorStream: streamOf("error"),
    now: () => clock.now,
  });
  return { reporter, written, clock };
}

Deno.test("terminalReporter() in a pseudo-terminal leaves whole lines and no rest of a bar", async () => {
  const { code, raw, lines } = await inPseudoTerminal(
    [Deno.execPath(), "run", "--no-check", "--allow-all", PLAY, "60", "--fail"],
  );
  assert.equal(code, 0);
  const [download, ...rest] = lines;
  assert.match(download, /^nats-server 2\.15\.1: 6\.0 MB in [\d.]+ s$/);
  assert.deepEqual(rest, [
    "nats-server 2.15.1: unpacked",
    "Learning 2 of 213 parameters: classifier.weight, classifier.bias",
    "epoch 1/3  train loss 1.2000 acc 0.700  val loss 0.8000 acc 0.750  4.2 s  best",
    "Warning: Skipped fruits/broken.jpg: not an image",
    "epoch 2/3  train loss 0.6000 acc 0.800  val loss 0.4000 acc 0.800  4.2 s",
    "epoch 3/3  train loss 0.4000 acc 0.900  val loss 0.2667 acc 0.850  4.2 s  best",
    "Last lines of rank 1:",
    "[rank 1] step 96 of epoch 1",
    "[rank 1] step 96 of epoch 3",
    "Done in 13 s: best validation accuracy 0.850 in epoch 3",
    "Run folder: runs/x-food",
  ]);
  assert.ok(raw.includes("\x1b[32mbest"), "colours on a terminal");
  assert.ok(
    !raw.includes("\x1b[?7l") && !raw.includes("\x1b[?25l"),
    "no terminal mode that a killed process would leave behind",
  );
});

Deno.test("terminalReporter() shows a live bar of one line with rate, loss and time left", async () => {
  const { raw } = await inPseudoTerminal(
    [Deno.execPath(), "run", "--no-check", "--allow-all", PLAY, "60"],
  );
  const frames = raw.split("\x1b[K").slice(0, -1);
  const seen: string[] = [];
  for (let shown = 1; shown <= frames.length; shown++) {
    const lines = await screenLines(frames.slice(0, shown).join("\x1b[K"), 80);
    seen.push(lines.at(-1)!);
  }
  const training = seen.filter((line) => line.startsWith("epoch 1/3 train"));
  assert.ok(training.length >= 3, seen.join("\n"));
  assert.ok(
    training.some((line) =>
      /^epoch 1\/3 train {2}█+░+ +\d+% +\d+\/214 {2}[\d.]+ img\/s {2}ETA \d+ s {2}loss \d\.\d{4}$/
        .test(
          line,
        )
    ),
    training.join("\n"),
  );
  assert.ok(seen.some((line) => /^nats-server 2\.15\.1 {2}█+░+ .* of 6\.0 MB/.test(line)));
  assert.ok(seen.some((line) => line.startsWith("epoch 2/3 validate  ")));
  assert.ok(seen.every((line) => line.length < 80));
});

Deno.test("terminalReporter() honours NO_COLOR in a pseudo-terminal, and shows workers when verbose", async () => {
  const { raw, lines } = await inPseudoTerminal(
    [Deno.execPath(), "run", "--no-check", "--allow-all", PLAY, "1", "--verbose", "--fail"],
    { env: { NO_COLOR: "1" } },
  );
  const withoutClearing = raw.slice(raw.indexOf("Learning")).replaceAll("\x1b[2K", "")
    .replaceAll("\x1b[K", "");
  assert.ok(!withoutClearing.includes("\x1b"), "nothing but clearing the bar's line");
  assert.ok(lines.includes("[rank 1] step 96 of epoch 1"));
  assert.ok(lines.includes("[rank 0] step 96 of epoch 2"));
  assert.ok(!lines.some((line) => line.startsWith("Last lines")), "they were shown already");
});

Deno.test("terminalReporter() leaves an empty line to the shell when the process exits at once", async () => {
  const { code, lines } = await inPseudoTerminal(
    [Deno.execPath(), "run", "--no-check", "--allow-all", PLAY, "150", "--exit"],
  );
  assert.equal(code, 130);
  assert.equal(lines.at(-1), "Learning 2 of 213 parameters: classifier.weight, classifier.bias");
});

Deno.test("terminalReporter() goes on when nobody reads its output any more", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-all", PLAY, "20", "--fail"],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  await child.stdout.cancel();
  assert.equal((await child.status).code, 0);
  assert.match(await errors, /\[rank 1\] step 96 of epoch 3\n$/);
});

Deno.test("terminalReporter() in a pipe writes plain lines, progress at most each 10 s", () => {
  const { reporter, written, clock } = plainReporter();
  reporter.phase({ name: "train", epoch: 1, epochs: 5, total: 1000 });
  for (let done = 0; done <= 1000; done += 10) {
    clock.now += 250;
    reporter.progress({ done, loss: 0.5 });
  }
  reporter.epochDone(RECORD, 5, true);
  reporter.summary({ seconds: 65, bestAccuracy: 0.75, bestEpoch: 1, folder: "runs/a" });
  reporter.close();
  assert.deepEqual(written.out.split("\n"), [
    "epoch 1/5 train   390/1000  39.0 img/s  loss 0.5000  ETA 16 s",
    "epoch 1/5 train   790/1000  39.5 img/s  loss 0.5000  ETA 6 s",
    "epoch 1/5  train loss 1.2000 acc 0.700  val loss 0.8000 acc 0.750  63.2 img/s  4.2 s  best",
    "Done in 1 min 05 s: best validation accuracy 0.750 in epoch 1",
    "Run folder: runs/a",
    "",
  ]);
  assert.equal(written.error, "");
});

Deno.test("terminalReporter() in a pipe closes each download with one line", () => {
  const { reporter, written, clock } = plainReporter();
  reporter.download({ what: "photos", bytes: 0, totalBytes: 6_600_000 });
  clock.now = 12_000;
  reporter.download({ what: "photos", bytes: 3_300_000, totalBytes: 6_600_000 });
  clock.now = 20_000;
  reporter.download({ what: "photos", bytes: 6_600_000, totalBytes: 6_600_000 });
  reporter.download({ what: "photos", note: "unpacking" });
  reporter.download({ what: "weights", bytes: 100 });
  reporter.phase({ name: "train", epoch: 1, epochs: 1, total: 1 });
  reporter.close();
  assert.deepEqual(written.out.split("\n"), [
    "photos: 3.3 MB of 6.6 MB",
    "photos: 6.6 MB in 20 s",
    "photos: unpacking",
    "weights: 100 B in 0.0 s",
    "",
  ]);
});

Deno.test("terminalReporter() keeps the last 20 lines of each rank for its failure", () => {
  const { reporter, written } = plainReporter();
  for (let line = 1; line <= 30; line++) reporter.workerLine(0, `line ${line}`);
  reporter.workerLine(1, "other");
  assert.equal(written.out + written.error, "");
  reporter.workerFailed(0);
  reporter.workerFailed(0);
  const expected = Array.from({ length: 20 }, (_, index) => `[rank 0] line ${index + 11}`);
  assert.deepEqual(written.error.split("\n"), ["Last lines of rank 0:", ...expected, ""]);
  reporter.close();
});

Deno.test("terminalReporter() says how to go on when interrupted", () => {
  const { reporter, written } = plainReporter();
  reporter.summary({
    seconds: 3,
    bestAccuracy: NaN,
    bestEpoch: 0,
    folder: "runs/a",
    report: "runs/a/report.html",
    interrupted: true,
  });
  reporter.close();
  assert.deepEqual(written.out.split("\n"), [
    "Interrupted after 3.0 s: no epoch was finished",
    "Run folder: runs/a",
    "Report: runs/a/report.html",
    "Go on with: deno task train --resume runs/a",
    "",
  ]);
});

Deno.test("printable() shows what would steer the terminal, indents further lines, and masks credentials", () => {
  assert.equal(
    printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07\r\x08\tb\nc\x9b2Jd\x85"),
    "a\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07\\r\\x08  b\n  c\\x9b2Jd\\x85",
  );
});

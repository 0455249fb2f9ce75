import assert from "node:assert/strict";
import { terminalCompareReporter } from "../../src/compare/compare_reporter.ts";
import type { TerminalStream } from "../../src/terminal/terminal_stream.ts";
import { screenLines } from "../support/pseudo_terminal.ts";

const RECORD = {
  epoch: 1,
  learningRate: 0.01,
  train: { loss: 1.2, accuracy: 0.7 },
  validation: { loss: 0.8, accuracy: 0.75, count: 57 },
  seconds: 4.21,
  imagesPerSecond: 63.2,
};
const PLACE = { seed: 1, of: 2, repeated: true };

/** Lets two runs speak, the second within the first where they go on at the same time. */
function play(isTerminal: boolean, parallel: boolean, verbose = false) {
  const written = { out: "", error: "" };
  const streamOf = (name: "out" | "error"): TerminalStream => ({
    isTerminal: isTerminal && name === "out",
    columns: 80,
    write: (text) => {
      written[name] += name === "out" && isTerminal ? text.replaceAll("\n", "\r\n") : text;
    },
  });
  const reporter = terminalCompareReporter({
    ...{ verbose, parallel },
    ...{ stream: streamOf("out"), errorStream: streamOf("error") },
  });
  reporter.info("Comparison folder: runs/x");
  const runs = ["Pretrained\x1b[2J", "Scratch"].map((label, index) => () =>
    reporter.run({ ...PLACE, label, number: index + 1 })
  );
  const begin = (run: ReturnType<typeof reporter.run>) => {
    run.info("Run folder: runs/x/scratch");
    run.phase({ name: "train", epoch: 1, epochs: 2, total: 100 });
    run.progress({ done: 50, loss: 1.5 });
    run.warn("Skipped a.jpg: not an image");
    return run;
  };
  const end = (run: ReturnType<typeof reporter.run>) => {
    run.epochDone(RECORD, 2, true);
    run.summary({ seconds: 1, bestAccuracy: 1, bestEpoch: 1, folder: "runs/x/scratch" });
    run.close();
  };
  if (parallel) runs.map((run) => begin(run())).forEach(end);
  else for (const run of runs) end(begin(run()));
  return written;
}

Deno.test("terminalCompareReporter() begins each line of a pipe with the run's name", () => {
  for (const parallel of [false, true]) {
    const { out, error } = play(false, parallel);
    const epoch =
      "epoch 1/2  train loss 1.2000 acc 0.700  val loss 0.8000 acc 0.750  63.2 img/s  4.2 s  best";
    assert.equal(
      out,
      "Comparison folder: runs/x\n" +
        `[1/2] Pretrained\\x1b[2J, seed 1  ${epoch}\n` +
        `[2/2] Scratch, seed 1  ${epoch}\n`,
    );
    assert.equal(
      error,
      "[1/2] Pretrained\\x1b[2J, seed 1  Warning: Skipped a.jpg: not an image\n" +
        "[2/2] Scratch, seed 1  Warning: Skipped a.jpg: not an image\n",
    );
  }
});

Deno.test("terminalCompareReporter() passes on all that runs say when it is verbose", () => {
  assert.match(
    play(false, false, true).out,
    /^\[2\/2\] Scratch, seed 1 {2}Run folder: runs\/x\/scratch$/m,
  );
});

Deno.test("terminalCompareReporter() on a terminal has a live bar with the run's name, and leaves nothing of it", async () => {
  const { out } = play(true, false);
  assert.match(out, /\[1\/2\] Pretrained\\x1b\[2J, seed 1 {2}epoch 1\/2 train {2}█+░+/);
  const lines = await screenLines(out, 80);
  assert.deepEqual(
    lines,
    [
      "Comparison folder: runs/x",
      "[1/2] Pretrained\\x1b[2J, seed 1  epoch 1/2  val 0.8000 / 0.750  best",
      "[2/2] Scratch, seed 1  epoch 1/2  val 0.8000 / 0.750  best",
    ].map((line) => line),
  );
});

Deno.test("terminalCompareReporter() draws no bars for runs that go on at the same time", () => {
  assert.ok(!play(true, true).out.includes("█"));
});

import assert from "node:assert/strict";
import { type Reporter, silentReporter } from "../../src/events/reporter.ts";
import { emittingReporter, ReporterListener } from "../../src/events/reporters.ts";
import { type RunEvent, RunEvents } from "../../src/events/run_events.ts";
import { madeEpoch } from "../support/made_run.ts";

/** A reporter that keeps its calls, and those. */
function recordingReporter(): { reporter: Reporter; calls: unknown[][] } {
  const calls: unknown[][] = [];
  const reporter = Object.fromEntries(
    Object.keys(silentReporter()).map((name) => [
      name,
      (...args: unknown[]) => void calls.push([name, ...args]),
    ]),
  ) as unknown as Reporter;
  return { reporter, calls };
}

Deno.test("emittingReporter() and ReporterListener pass each call through the stream", () => {
  const events = new RunEvents();
  const { reporter, calls } = recordingReporter();
  events.add(
    new ReporterListener(reporter, (event) => event.type === "info" ? event.line : undefined),
  );
  const speaker = emittingReporter(events, { keepsWarnings: false });
  const phase = { name: "train", epoch: 1, epochs: 2, total: 8 } as const;
  speaker.info("a line");
  speaker.warn("look");
  speaker.workerLine(1, "hello");
  speaker.workerFailed(1);
  speaker.download({ what: "weights", bytes: 1 });
  speaker.phase(phase);
  speaker.progress({ done: 4 });
  assert.deepEqual(calls, [
    ["info", "a line"],
    ["warn", "look"],
    ["workerLine", 1, "hello"],
    ["workerFailed", 1],
    ["download", { what: "weights", bytes: 1 }],
    ["phase", phase],
    ["progress", { done: 4 }],
  ]);
});

Deno.test("ReporterListener warns of lost workers, and tells of a recovery as news", () => {
  const events = new RunEvents();
  const { reporter, calls } = recordingReporter();
  events.add(new ReporterListener(reporter, ({ type }) => `a line about ${type}`));
  const place = { generation: 1, epoch: 1, step: 2 };
  events.emit({ type: "workersLost", ...place, during: "training", workers: [] });
  const recovery = { ranks: [0], reasons: ["ended"], workers: 2, restarts: 1, seconds: 1 };
  events.emit({ type: "recovery", ...place, policy: "restart", ...recovery });
  assert.deepEqual(calls, [["warn", "a line about workersLost"], [
    "info",
    "a line about recovery",
  ]]);
});

Deno.test("emittingReporter() says whether events.jsonl keeps its warnings", () => {
  const events = new RunEvents();
  const heard: RunEvent[] = [];
  events.add({ name: "The test", hear: (event) => void heard.push(event) });
  emittingReporter(events, { keepsWarnings: true }).warn("kept");
  emittingReporter(events, { keepsWarnings: false }).warn("shown");
  assert.deepEqual(heard, [
    { type: "warning", message: "kept", kept: true },
    { type: "warning", message: "shown", kept: false },
  ]);
});

Deno.test("ReporterListener words what a reporter has no method for, and leaves out what has no words", () => {
  const events = new RunEvents();
  const { reporter, calls } = recordingReporter();
  events.add(
    new ReporterListener(reporter, ({ type }) => type === "stopped" ? "It stopped" : undefined),
  );
  const record = madeEpoch(1);
  const summary = { seconds: 1, bestAccuracy: 1, bestEpoch: 1, folder: "r" };
  events.emit({ type: "notice", line: "Dashboard: http://…?token=t" });
  events.emit({ type: "stopped", epoch: 1, step: 4, reason: "onStep said stop" });
  events.emit({ type: "epochEnded", record });
  events.emit({ type: "epoch", record, epochs: 3, best: true });
  events.emit({ type: "report", finished: true });
  events.emit({ type: "summary", summary });
  assert.deepEqual(calls, [
    ["info", "Dashboard: http://…?token=t"],
    ["info", "It stopped"],
    ["epochDone", record, 3, true],
    ["summary", summary],
  ]);
});

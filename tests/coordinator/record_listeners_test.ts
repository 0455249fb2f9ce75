import assert from "node:assert/strict";
import {
  EventLogListener,
  RunLogListener,
} from "../../src/coordinator/listeners/record_listeners.ts";
import { type RunEvent, RunEvents } from "../../src/events/run_events.ts";
import { madeEpoch } from "../support/made_run.ts";

const POINT = { examples: 24, epoch: 2, step: 3, loss: 0.5, accuracy: 0.75 };
const RECORD = madeEpoch(2);

const LOST: RunEvent & { type: "workersLost" } = {
  type: "workersLost",
  generation: 0,
  epoch: 1,
  step: 4,
  during: "training",
  workers: [{ rank: 1, pid: 77, host: "here", reason: "Rank 1 was ended by SIGKILL" }],
};
const RECOVERY: RunEvent & { type: "recovery" } = {
  type: "recovery",
  generation: 1,
  policy: "restart",
  epoch: 1,
  step: 4,
  ranks: [1],
  reasons: ["Rank 1 was ended by SIGKILL"],
  workers: 2,
  restarts: 1,
  seconds: 1.25,
};
const fieldsOf = ({ type: _, ...fields }: RunEvent) => fields;

/** One event of each type. */
const EVENTS: readonly RunEvent[] = [
  { type: "started", epoch: 1, step: 0 },
  { type: "resumed", epoch: 2, step: 3, from: "last-1" },
  { type: "joined", workers: [{ rank: 0 }], server: { version: "2.15" } },
  { type: "info", line: "news" },
  { type: "notice", line: "Dashboard: http://…?token=secret" },
  { type: "warning", message: "shown", kept: false },
  { type: "warning", message: "kept", kept: true },
  { type: "workerLine", rank: 1, line: "hello" },
  { type: "workerFailed", rank: 1 },
  { type: "download", event: { what: "weights" } },
  { type: "phase", phase: { name: "train", epoch: 1, epochs: 2, total: 8 } },
  { type: "progress", progress: { done: 4 } },
  LOST,
  RECOVERY,
  { type: "skipped", path: "a.jpg", reason: "empty" },
  { type: "statisticsLeftOut", epoch: 1, steps: 1, samples: 2 },
  {
    type: "features",
    epoch: 1,
    kept: { train: 8, val: 4, bytes: 4_000 },
    workers: 1,
    limit: 1_000_000,
  },
  { type: "validation", point: POINT },
  { type: "validation", point: POINT, within: { steps: 9, trainLoss: 0.25, secondsPerStep: 2 } },
  { type: "picture", name: "batch", step: 0, draw: () => Promise.resolve(undefined) },
  { type: "epochEnded", record: RECORD },
  { type: "epoch", record: RECORD, epochs: 4, best: true },
  { type: "recovered", event: { type: "epoch", record: RECORD } },
  { type: "recovered", event: { type: "stopped", epoch: 2, step: 9, reason: "patience" } },
  { type: "stopped", epoch: 2, step: 9, reason: "onEpoch said stop" },
  { type: "finished", seconds: 5, best: { epoch: 2, accuracy: 0.75 } },
  { type: "interrupted", message: "Interrupted by SIGINT" },
  { type: "failed", message: "Rank 1 is lost" },
  { type: "report", finished: true },
  { type: "report", finished: false },
  { type: "summary", summary: { seconds: 5, bestAccuracy: 0.75, bestEpoch: 2, folder: "r" } },
];

Deno.test("events.jsonl keeps what a run's course is read from, in the fields of docs/formats.md", () => {
  const events = new RunEvents();
  const lines: unknown[] = [];
  events.add(
    new EventLogListener({ append: (type, fields) => void lines.push([type, fields ?? {}]) }),
  );
  EVENTS.forEach((event) => events.emit(event));
  assert.deepEqual(lines, [
    ["started", { epoch: 1, step: 0 }],
    ["resumed", { epoch: 2, step: 3, from: "last-1" }],
    ["joined", { workers: [{ rank: 0 }], server: { version: "2.15" } }],
    ["warning", { message: "kept" }],
    ["workersLost", fieldsOf(LOST)],
    ["recovery", fieldsOf(RECOVERY)],
    ["skipped", { path: "a.jpg", reason: "empty" }],
    ["statisticsLeftOut", { epoch: 1, steps: 1, samples: 2 }],
    ["features", { epoch: 1, train: 8, val: 4, bytes: 4_000 }],
    ["validation", POINT],
    ["epoch", RECORD],
    ["epoch", RECORD],
    ["stopped", { epoch: 2, step: 9, reason: "patience" }],
    ["stopped", { epoch: 2, step: 9, reason: "onEpoch said stop" }],
    ["finished", { seconds: 5, best: { epoch: 2, accuracy: 0.75 } }],
    ["interrupted", { message: "Interrupted by SIGINT" }],
    ["failed", { message: "Rank 1 is lost" }],
    ["report", {}],
  ]);
});

Deno.test("run.log keeps the lines of people and workers, without what may hold a secret", () => {
  const events = new RunEvents();
  const lines: string[] = [];
  events.add(new RunLogListener({ append: (level, text) => void lines.push(`${level} ${text}`) }));
  EVENTS.forEach((event) => events.emit(event));
  assert.deepEqual(lines.map((line) => line.replace(/ {2}.*/, " …")), [
    "info news",
    "warning shown",
    "warning kept",
    "info [rank 1] hello",
    "warning Lost a worker: Rank 1 was ended by SIGKILL",
    "info Recovered in 1.3 s: rank 1 was started again; the run goes on from epoch 1, step 4",
    "info 1 worker keeps the features of 8 training and 4 validation images: 4.0 kB, of at most 1.0 MB",
    "info epoch 2, step 3/9 …",
    "info epoch 2/4 …",
    "info Stopped in epoch 2: onEpoch said stop",
    "error Interrupted by SIGINT",
    "error Rank 1 is lost",
  ]);
});

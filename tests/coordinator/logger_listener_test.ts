import assert from "node:assert/strict";
import { listenWithLoggers } from "../../src/coordinator/listeners/logger_listener.ts";
import { RunEvents } from "../../src/events/run_events.ts";
import type { RecoveryRecord } from "../../src/records/recovery_record.ts";
import type { RunLogger } from "../../src/loggers/logger.ts";
import { madeEpoch, madePoint } from "../support/made_run.ts";

const START = { folder: "run", config: {}, classes: ["a", "b"], stepsPerEpoch: 10, step: 0 };

/** A stream whose warnings are kept. */
function streamWithWarnings() {
  const events = new RunEvents();
  const warnings: string[] = [];
  events.add({
    name: "The test",
    hear: (event) => void (event.type === "warning" && warnings.push(event.message)),
  });
  return { events, warnings };
}

Deno.test("listenWithLoggers() tells all loggers the same, and leaves out one that fails", async () => {
  const { events, warnings } = streamWithWarnings();
  const seen: string[] = [];
  const good: RunLogger = {
    metrics: ({ step }) => void seen.push(`good ${step}`),
    epoch: ({ epoch }) => void seen.push(`good epoch ${epoch}`),
    close: () => void seen.push("good closed"),
  };
  const bad: RunLogger = {
    metrics: ({ step }) => {
      seen.push(`bad ${step}`);
      throw new Error("disk full");
    },
    close: () => void seen.push("bad closed"),
  };
  const closing = await listenWithLoggers(events, [
    { name: "never", open: () => Promise.reject(new Error("no rights")) },
    { name: "bad", open: () => bad },
    { name: "good", open: () => good },
  ], START);
  events.emit({ type: "metrics", point: madePoint(1, 2) });
  events.emit({ type: "metrics", point: madePoint(1, 4) });
  events.emit({
    type: "validation",
    point: { examples: 1, epoch: 1, step: 1, loss: 1, accuracy: 1 },
  });
  events.emit({ type: "epochEnded", record: madeEpoch(1) });
  closing[Symbol.dispose]();
  assert.deepEqual(seen, ["bad 2", "good 2", "good 4", "good epoch 1", "good closed"]);
  assert.deepEqual(warnings, [
    "The never logger fails, the run goes on without it: no rights",
    "The bad logger fails, the run goes on without it: disk full",
  ]);
});

Deno.test("loggers get the record of a recovery", async () => {
  const { events } = streamWithWarnings();
  const seen: RecoveryRecord[] = [];
  const logger: RunLogger = { recovery: (record) => void seen.push(record) };
  using _closing = await listenWithLoggers(events, [{ name: "good", open: () => logger }], START);
  const facts = {
    ...{ epoch: 2, step: 3, ranks: [0, 1], reasons: ["out of memory", "killed"], workers: 2 },
    seconds: 1.5,
  };
  events.emit({ type: "recovery", policy: "restart", generation: 1, restarts: 1, ...facts });
  const [{ time, ...record }] = seen;
  assert.deepEqual(record, { policy: "restart", ...facts });
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
});

Deno.test("a logger that fails as it closes is warned of, and the others are closed", async () => {
  const { events, warnings } = streamWithWarnings();
  let closed = false;
  const bad = () => ({
    close: () => {
      throw new Error("gone");
    },
  });
  const closing = await listenWithLoggers(events, [
    { name: "bad", open: bad },
    { name: "good", open: () => ({ close: () => void (closed = true) }) },
  ], START);
  closing[Symbol.dispose]();
  assert.deepEqual(warnings, ["The bad logger fails, the run goes on without it: gone"]);
  assert.equal(closed, true);
});

Deno.test("a picture is drawn only when a logger takes it", async () => {
  const { events, warnings } = streamWithWarnings();
  let drawn = 0;
  const png = Uint8Array.of(1, 2, 3);
  const emit = () =>
    events.emit({
      type: "picture",
      name: "confusion",
      step: 7,
      draw: () => Promise.resolve(void drawn++).then(() => png),
    });
  await listenWithLoggers(
    events,
    [{ name: "numbers", open: () => ({ metrics: () => {} }) }],
    START,
  );
  emit();
  await events.settled();
  assert.equal(drawn, 0);
  const taken: unknown[] = [];
  const picture: RunLogger["picture"] = (...args) => void taken.push(args);
  await listenWithLoggers(events, [{ name: "pictures", open: () => ({ picture }) }], START);
  emit();
  await events.settled();
  assert.deepEqual(taken, [["confusion", png, 7]]);
  assert.deepEqual(warnings, []);
});

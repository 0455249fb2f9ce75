import assert from "node:assert/strict";
import { type RunEvent, RunEvents } from "../../src/events/run_events.ts";

/** The words of an event that has some. */
function wordsOf(event: RunEvent): string {
  return event.type === "info" ? event.line : event.type === "warning" ? event.message : event.type;
}

Deno.test("RunEvents tells its listeners in their order, each from when it was added", () => {
  const events = new RunEvents();
  const heard: string[] = [];
  const listener = (name: string) => ({
    name,
    hear: (event: RunEvent) => void heard.push(`${name}: ${wordsOf(event)}`),
  });
  events.add(listener("a"));
  events.info("one");
  events.add(listener("b"));
  events.warn("two");
  assert.deepEqual(heard, ["a: one", "a: two", "b: two"]);
});

Deno.test("a listener that throws is left out with one warning, and the others go on", () => {
  const events = new RunEvents();
  const heard: string[] = [];
  let calls = 0;
  events.add({
    name: "The bad one",
    hear: () => {
      calls++;
      throw new Error("disk full");
    },
  });
  events.add({ name: "The good one", hear: (event) => void heard.push(wordsOf(event)) });
  events.info("one");
  events.info("two");
  assert.equal(calls, 1);
  assert.deepEqual(heard, [
    "The bad one fails, the run goes on without it: disk full",
    "one",
    "two",
  ]);
});

Deno.test("a listener whose promise fails is left out with one warning, and nothing is thrown", async () => {
  const events = new RunEvents();
  const heard: string[] = [];
  events.add({
    name: "The slow one",
    hear: async (event) => {
      await Promise.resolve();
      if (event.type === "info") throw new Error(`not ${event.line}`);
    },
  });
  events.add({ name: "The good one", hear: (event) => void heard.push(wordsOf(event)) });
  events.info("one");
  events.info("two");
  await events.settled();
  events.info("three");
  await events.settled();
  assert.deepEqual(heard, [
    "one",
    "two",
    "The slow one fails, the run goes on without it: not one",
    "three",
  ]);
});

Deno.test("settled() waits for what listeners do, and for what that makes others do", async () => {
  const events = new RunEvents();
  const done: string[] = [];
  const later = (type: RunEvent["type"], then?: () => void) => ({
    name: type,
    hear: async (event: RunEvent) => {
      if (event.type !== type) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
      done.push(type);
      then?.();
    },
  });
  events.add(later("finished", () => events.emit({ type: "report", finished: true })));
  events.add(later("report"));
  events.emit({ type: "finished", seconds: 1, best: { epoch: 1, accuracy: 1 } });
  assert.deepEqual(done, []);
  await events.settled();
  assert.deepEqual(done, ["finished", "report"]);
});

Deno.test("a reporter that fails in its own warning doesn't run in circles", () => {
  const events = new RunEvents();
  let calls = 0;
  const bad = (name: string) => ({
    name,
    hear: () => {
      calls++;
      throw new Error("broken");
    },
  });
  events.add(bad("a"));
  events.add(bad("b"));
  events.info("one");
  assert.equal(calls, 2);
});

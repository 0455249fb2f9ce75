import assert from "node:assert/strict";
import type { RunLogger } from "../../src/loggers/logger.ts";
import { LoggerSet } from "../../src/loggers/logger_set.ts";
import { madePoint } from "../support/made_run.ts";

const START = { folder: "run", config: {}, classes: ["a", "b"], stepsPerEpoch: 10, step: 0 };

Deno.test("LoggerSet tells all loggers the same, and leaves out one that fails", async () => {
  const warnings: string[] = [];
  const set = new LoggerSet((line) => warnings.push(line));
  const seen: string[] = [];
  const good: RunLogger = {
    metrics: ({ step }) => void seen.push(`good ${step}`),
    close: () => void seen.push("good closed"),
  };
  const bad: RunLogger = {
    metrics: ({ step }) => {
      seen.push(`bad ${step}`);
      throw new Error("disk full");
    },
    close: () => void seen.push("bad closed"),
  };
  await set.open([
    { name: "never", open: () => Promise.reject(new Error("no rights")) },
    { name: "bad", open: () => bad },
    { name: "good", open: () => good },
  ], START);
  set.metrics(madePoint(1, 2));
  set.metrics(madePoint(1, 4));
  set.validation({ examples: 1, epoch: 1, step: 1, loss: 1, accuracy: 1 });
  set.close();
  set.metrics(madePoint(1, 6));
  assert.deepEqual(seen, ["bad 2", "good 2", "good 4", "good closed"]);
  assert.deepEqual(warnings, [
    "The never logger fails, the run goes on without it: no rights",
    "The bad logger fails, the run goes on without it: disk full",
  ]);
});

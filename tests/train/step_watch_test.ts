import assert from "node:assert/strict";
import type { StepTimes } from "../../src/base/step_times.ts";
import type { StepResult } from "../../src/exchange/gradient_exchange.ts";
import { StepWatch } from "../../src/train/step_watch.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";

const RESULT = { action: "continue" } as StepResult;

/** Keeps the thread busy. */
function work(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end;);
}

Deno.test("StepWatch gives each moment to one part of a step; the parts add up to it", () =>
  wonAtLeastOnce(() => {
    const ended: StepTimes[] = [];
    const start = performance.now();
    const watch = new StepWatch({ first: 0, last: 1 }, { onEnd: (_, times) => ended.push(times) });
    watch.enter("waiting for its batch");
    work(4);
    watch.begin(0);
    watch.enter("computing");
    work(8);
    watch.enter("waiting for the other ranks");
    const known = watch.times;
    work(2);
    watch.enter("updating its parameters");
    work(3);
    watch.enter("waiting for the other ranks");
    work(2);
    watch.end(RESULT);
    const elapsed = performance.now() - start;
    const [{ data, forwardBackward, exchange, update }] = ended;
    assert.ok(data >= 4 && forwardBackward >= 8 && exchange >= 4 && update >= 3);
    const sum = data + forwardBackward + exchange + update;
    assert.equal(known.forwardBackward, forwardBackward);
    assert.equal(known.update, 0, "of the first step, the update isn't known before it");
    watch.enter("waiting for its batch");
    assert.equal(watch.times.update, update, "in the next step, that of the step before");
    assert.equal(watch.times.exchange, exchange, "whatever came after the step's end");
    assert.ok(sum <= elapsed, `${sum} of ${elapsed} ms`);
    return Promise.resolve(elapsed - sum < 1);
  }));

Deno.test("StepWatch tells which step is in which phase: the next one from a step's end, never one after the last", () => {
  const calls: string[] = [];
  const watch = new StepWatch({ first: 7, last: 8 }, {
    onBegin: (step) => calls.push(`begin ${step}`),
    onPhase: (step, phase) => calls.push(`${step} ${phase}`),
    onEnd: (step) => calls.push(`end ${step}`),
  });
  watch.enter("waiting for its batch");
  for (const step of [7, 8]) {
    watch.begin(step);
    watch.enter("computing");
    watch.end(RESULT);
    watch.enter("waiting for its batch");
  }
  assert.deepEqual(calls, [
    "7 waiting for its batch",
    "begin 7",
    "7 computing",
    "end 7",
    "8 waiting for its batch",
    "begin 8",
    "8 computing",
    "end 8",
    "8 waiting for its batch",
  ]);
});

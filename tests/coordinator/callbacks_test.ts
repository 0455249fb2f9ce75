import assert from "node:assert/strict";
import { CallbackRunner, type StepInfo } from "../../src/coordinator/callbacks.ts";
import { madeEpoch } from "../support/made_run.ts";

const STEP: StepInfo = {
  epoch: 1,
  step: 1,
  steps: 4,
  loss: 1,
  accuracy: 0.5,
  learningRate: 0.1,
  imagesPerSecond: 9,
};

Deno.test("CallbackRunner calls the program until it says stop", async () => {
  const seen: number[] = [];
  const runner = new CallbackRunner({
    onStep: ({ step }) => {
      seen.push(step);
      return step === 2 ? "stop" : undefined;
    },
  });
  assert.deepEqual([runner.hearsSteps, runner.wantsEnd], [true, false]);
  for (const step of [1, 2, 3]) await runner.step({ ...STEP, step });
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual([runner.stoppedBy, runner.wantsEnd], ["onStep", true]);
  runner.throwFailure(); // there is none
});

Deno.test("CallbackRunner keeps an error of onStep until the state is saved", async () => {
  const error = new Error("enough");
  const runner = new CallbackRunner({ onStep: () => Promise.reject(error) });
  await runner.step(STEP);
  assert.deepEqual([runner.stoppedBy, runner.wantsEnd], [undefined, true]);
  assert.throws(() => runner.throwFailure(), error);
});

Deno.test("CallbackRunner lets onEpoch stop, and its errors through; without callbacks it does nothing", async () => {
  const runner = new CallbackRunner({ onEpoch: ({ epoch }) => epoch === 2 ? "stop" : undefined });
  await runner.epoch(madeEpoch(1));
  assert.equal(runner.stoppedBy, undefined);
  await runner.epoch(madeEpoch(2));
  assert.equal(runner.stoppedBy, "onEpoch");
  const failing = new CallbackRunner({ onEpoch: () => Promise.reject(new Error("no")) });
  await assert.rejects(failing.epoch(madeEpoch(1)), /no/);
  const none = new CallbackRunner({});
  await none.step(STEP);
  assert.deepEqual([none.hearsSteps, none.wantsEnd], [false, false]);
});

import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import type { RunContext } from "../../src/coordinator/run_context.ts";
import { nextEpoch, startPosition } from "../../src/coordinator/state/run_state.ts";
import { SavedState } from "../../src/coordinator/state/saved_state.ts";
import { requireBest, runEpochs } from "../../src/coordinator/training.ts";
import { RunEvents } from "../../src/events/run_events.ts";
import { madeEpoch } from "../support/made_run.ts";

/** A run whose first epoch is trained and not yet validated, and the order of what is called. */
function trainedRun(changes: Partial<RunContext> & { stoppedBy?: string } = {}) {
  const calls: string[] = [];
  const events = new RunEvents();
  events.add({ name: "The test", hear: (event) => void calls.push(`event ${event.type}`) });
  const { stoppedBy, ...parts } = changes;
  const context = {
    run: {
      config: { train: { epochs: 3 }, validate: {}, checkpoint: { monitor: "accuracy" } },
      plan: { stepsPerEpoch: 4 },
    },
    history: { epochs: [], validations: [], losses: [], best: { epoch: 0, accuracy: NaN } },
    record: { save: () => Promise.resolve(void calls.push("history")) },
    saved: new SavedState("/r", events),
    events,
    callbacks: { throwFailure: () => void calls.push("callbacks"), stoppedBy },
    ...parts,
  } as unknown as RunContext;
  return { context, calls, position: { ...startPosition(), stepsDone: 4, seconds: 1 } };
}

Deno.test("runEpochs() writes the history before listeners hear that the program said stop, and validates nothing", async () => {
  const { context, calls, position } = trainedRun({ stoppedBy: "onStep" });
  await runEpochs(context, position);
  assert.deepEqual(calls, ["callbacks", "history", "event stopped"]);
  const { stopped } = context.history;
  assert.equal(stopped?.epoch, 1);
  assert.equal(stopped?.reason, "onStep said stop");
});

Deno.test("runEpochs() ends with the signal's reason, before callbacks and validation", async () => {
  const reason = new Error("Ctrl-C");
  const { context, calls, position } = trainedRun({ signal: AbortSignal.abort(reason) });
  await assert.rejects(runEpochs(context, position), reason);
  assert.deepEqual(calls, []);
});

Deno.test("requireBest() tells lost weights from a metric that was never finite", () => {
  const { context } = trainedRun();
  requireBest(context); // no epoch, nothing to require
  const { history } = context;
  const broken = madeEpoch(1);
  history.epochs.push({ ...broken, validation: { ...broken.validation, accuracy: NaN } });
  const refused = (pattern: RegExp) => (error: Error) =>
    error instanceof LockstepError && pattern.test(error.message);
  assert.throws(() => requireBest(context), refused(/accuracy, which was NaN or infinite/));
  history.epochs.push(madeEpoch(2));
  assert.throws(() => requireBest(context), refused(/^The best weights are lost/));
  history.best.epoch = 2;
  requireBest(context);
});

Deno.test("nextEpoch() begins with empty totals, and keeps optimizer steps and pending sums", () => {
  const pending = { lossSum: 3, weight: 2, correct: 1, count: 2, ranks: [], seconds: 1 };
  const totals = { lossSum: 9, weight: 8, correct: 7, count: 8 };
  const done = {
    ...startPosition(),
    epoch: 2,
    stepsDone: 4,
    optimizerSteps: 8,
    totals,
    seconds: 5,
  };
  const fresh = { ...startPosition(), epoch: 3, optimizerSteps: 8 };
  assert.deepEqual(nextEpoch(done), fresh);
  assert.deepEqual(nextEpoch({ ...done, pending }), { ...fresh, pending });
});

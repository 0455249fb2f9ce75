import assert from "node:assert/strict";
import type { StepKey } from "../../src/base/step_key.ts";
import {
  driveSteps,
  type SteppingCluster,
  type StepReducer,
} from "../../src/cluster/drive_steps.ts";
import type { StepTotals } from "../../src/exchange/gradient_exchange.ts";
import type { Reply } from "../../src/protocol/command_channel.ts";

const TOTALS: StepTotals = {
  samples: 8,
  weight: 8,
  lossSum: 4,
  correct: 2,
  statisticsRows: 8,
  trackedBatches: 1,
  finite: true,
  action: "continue",
  ranks: [],
};

const SPAN = {
  command: "train",
  args: (startStep: number) => ({ lr: 0.1, startStep }),
  epoch: 3,
  startStep: 2,
  endStep: 4,
};

/** A cluster and a reducer that write down what they are asked to do. */
function fakes({ totals = {}, hangsAt }: { totals?: Partial<StepTotals>; hangsAt?: number } = {}) {
  const calls: string[] = [];
  const lost = new AbortController();
  const replies = Promise.withResolvers<Reply[]>();
  const hanging = Promise.withResolvers<void>();
  const cluster: SteppingCluster = {
    lost: lost.signal,
    get exchange() {
      return { reducer };
    },
    recover: (cause) => Promise.reject(cause),
    callAll: (name, args) => {
      calls.push(`call ${name} ${JSON.stringify(args)}`);
      return replies.promise;
    },
    inStep: ({ epoch, step }) => calls.push(`in ${epoch}/${step}`),
    watchSteps: () => ({ [Symbol.dispose]: () => {} }),
  };
  const reducer: StepReducer = {
    reduce: async ({ epoch, step }, decide, { signal } = {}) => {
      signal?.throwIfAborted();
      calls.push(`reduce ${step}`);
      if (step === hangsAt) {
        hanging.resolve();
        await new Promise((_, reject) =>
          signal!.addEventListener("abort", () => reject(signal!.reason))
        );
      }
      const action = decide({ epoch, step });
      return { ...TOTALS, action, ...totals };
    },
  };
  const ruler = (lastStep = Infinity) => ({
    decide: ({ step }: StepKey) => {
      calls.push(`decide ${step}`);
      return step >= lastStep ? "stop" as const : "continue" as const;
    },
    onStep: ({ step }: StepKey, { action }: StepTotals) => {
      calls.push(`done ${step}, ${action}`);
      if (step + 1 === SPAN.endStep || action === "stop") {
        replies.resolve([{ rank: 0, result: "done" }]);
      }
    },
  });
  return { calls, cluster, ruler, lost, replies, hanging: hanging.promise };
}

Deno.test("driveSteps() calls the workers once, and rules step after step", async () => {
  const { calls, cluster, ruler } = fakes();
  const replies = await driveSteps(cluster, SPAN, ruler());
  assert.deepEqual(replies, [{ rank: 0, result: "done" }]);
  assert.deepEqual(calls, [
    'call train {"lr":0.1,"startStep":2}',
    ...["in 3/2", "reduce 2", "decide 2", "done 2, continue"],
    ...["in 3/3", "reduce 3", "decide 3", "done 3, continue"],
  ]);
});

Deno.test("driveSteps() ends with the step that is decided to be the last one", async () => {
  const { calls, cluster, ruler } = fakes();
  await driveSteps(cluster, SPAN, ruler(2));
  assert.deepEqual(calls.slice(1), ["in 3/2", "reduce 2", "decide 2", "done 2, stop"]);
});

Deno.test("driveSteps() is given the loss of a worker in the middle of a step directly", async () => {
  // The call never settles: what ends the step is the cluster's signal alone.
  const { calls, cluster, ruler, lost, hanging } = fakes({ hangsAt: 3 });
  const driven = driveSteps(cluster, SPAN, ruler());
  await hanging;
  lost.abort(new Error("Rank 1 was killed"));
  await assert.rejects(driven, /^Error: Rank 1 was killed$/);
  assert.deepEqual(calls.slice(-2), ["in 3/3", "reduce 3"]);
});

Deno.test("driveSteps() ends at a loss between two steps, a worker's failure, and the signal", async () => {
  const between = fakes();
  const ruler = {
    ...between.ruler(),
    onStep: () => between.lost.abort(new Error("Rank 0 is gone")),
  };
  await assert.rejects(
    driveSteps(between.cluster, SPAN, ruler),
    /^Error: Rank 0 is gone$/,
  );
  assert.equal(between.calls.at(-1), "in 3/3", "the next step isn't begun");

  const failing = fakes({ hangsAt: 2 });
  const driven = driveSteps(failing.cluster, SPAN, failing.ruler());
  await failing.hanging;
  failing.replies.reject(new Error("Rank 1 failed: no such file"));
  await assert.rejects(driven, /^Error: Rank 1 failed: no such file$/);

  const stopped = fakes({ hangsAt: 2 });
  const stop = new AbortController();
  const { cluster } = stopped;
  const ended = driveSteps(cluster, SPAN, stopped.ruler(), stop.signal);
  await stopped.hanging;
  stop.abort(new Error("interrupted"));
  await assert.rejects(ended, /^Error: interrupted$/);
});

Deno.test("driveSteps() passes on the error of a step, and of the replies after the last step", async () => {
  const { calls, cluster } = fakes();
  const onStep = ({ step }: StepKey) => {
    throw new Error(`step ${step} is not finite`);
  };
  await assert.rejects(
    driveSteps(cluster, SPAN, { decide: () => "continue", onStep }),
    /^Error: step 2 is not finite$/,
  );
  assert.equal(calls.at(-1), "reduce 2");

  const last = fakes();
  const ruler = {
    decide: () => "stop" as const,
    onStep: () => last.replies.reject(new Error("Rank 1 failed: too late")),
  };
  await assert.rejects(
    driveSteps(last.cluster, SPAN, ruler),
    /^Error: Rank 1 failed: too late$/,
  );
});

import assert from "node:assert/strict";
import type { StepKey } from "../../src/base/step_key.ts";
import {
  driveSteps,
  type SteppingCluster,
  type StepReducer,
  type StepRuler,
} from "../../src/cluster/drive_steps.ts";
import type { StepTotals } from "../../src/exchange/gradient_exchange.ts";
import type { Reply } from "../../src/protocol/command_channel.ts";

/** A command of the ranks that ends with a loss. */
interface Attempt {
  /** The step that never ends; with the span's end, the replies never come. */
  readonly failsAt: number;
  /** Steps from that one on that all ranks have summed all the same. */
  readonly settled?: number;
  /** Steps that all ranks hold then. */
  readonly held: number;
  /** The recovery fails. */
  readonly isLast?: boolean;
}

const END = 6;
const SPAN = {
  command: "train",
  args: (startStep: number) => ({ startStep }),
  ...{ epoch: 3, startStep: 0, endStep: END },
};

/** A cluster that loses workers; the totals of a step count the attempt in `samples`, as many steps as it took. */
function fakes(attempts: readonly Attempt[]) {
  const calls: string[] = [];
  const signals: (AbortSignal | undefined)[] = [];
  let lost = new AbortController();
  let attempt = -1;
  let began = 0;
  let replies = Promise.withResolvers<Reply[]>();
  const totals = (action: "continue" | "stop"): StepTotals => ({
    ...{ samples: attempt, weight: 8, lossSum: 4, correct: 2, statisticsRows: 8 },
    ...{ trackedBatches: 1, finite: true, action, ranks: [] },
  });
  const lose = () => lost.abort(new Error(`loss ${attempt}`));
  const reducer: StepReducer = {
    reduce: async ({ epoch, step }, decide, { signal } = {}) => {
      await Promise.resolve();
      signal?.throwIfAborted();
      const failing = attempts[attempt];
      if (step === failing?.failsAt) {
        lose();
        throw signal!.reason;
      }
      const action = decide({ epoch, step });
      if (action === "stop" || step + 1 === END) {
        if (failing) lose();
        else replies.resolve([{ rank: 0, result: attempt }]);
      }
      return totals(action);
    },
    settled: ({ step }) => {
      const { failsAt, settled = 0 } = attempts[attempt]!;
      return step < failsAt + settled ? totals("continue") : undefined;
    },
  };
  const cluster: SteppingCluster = {
    get lost() {
      return lost.signal;
    },
    get exchange() {
      return { reducer };
    },
    recover: async (cause, { booked }) => {
      const { held, isLast } = attempts[attempt]!;
      const { epoch, startStep, steps } = await booked!();
      assert.deepEqual([epoch, startStep], [SPAN.epoch, began], "those of the command");
      calls.push(`${(cause as Error).message}: booked ${steps}, held ${held}`);
      if (isLast) throw cause;
      return held;
    },
    callAll: (_, args, { signal }) => {
      attempt++;
      began = (args as { startStep: number }).startStep;
      lost = new AbortController();
      signals.push(signal);
      replies = Promise.withResolvers();
      const own = replies;
      lost.signal.addEventListener("abort", () => own.reject(lost.signal.reason));
      calls.push(`call ${JSON.stringify(args)}`);
      return replies.promise;
    },
    inStep: () => {},
    watchSteps: () => ({ [Symbol.dispose]: () => {} }),
  };
  const ruler = (mayDecideAhead: boolean, lastStep = Infinity): StepRuler => ({
    decide: ({ step }: StepKey) => step >= lastStep ? "stop" : "continue",
    mayDecideAhead,
    check: ({ step }) => void calls.push(`check ${step}`),
    onStep: ({ step }, { samples }) => void calls.push(`step ${step} of ${samples}`),
  });
  return { calls, cluster, ruler, signals };
}

/** The steps that were reported, with the attempt that took them; and the calls. */
function reports(calls: readonly string[]) {
  const select = (start: string) => calls.filter((call) => call.startsWith(start));
  return {
    steps: select("step").map((call) => call.slice("step ".length)),
    begun: select("call").map((call) => JSON.parse(call.slice("call ".length)).startStep),
    recoveries: select("loss"),
  };
}

Deno.test("driveSteps() goes on after losses with the step that the ranks hold, and reports each step once", async () => {
  const cases: [string, Attempt[], boolean, ReturnType<typeof reports>][] = [
    ["in a step", [{ failsAt: 3, held: 3 }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 1", "4 of 1", "5 of 1"],
      begun: [0, 3],
      recoveries: ["loss 0: booked 3, held 3"],
    }],
    // Its results, which nobody was told of, are those of the second time.
    ["a step is taken again", [{ failsAt: 3, held: 2 }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 1", "3 of 1", "4 of 1", "5 of 1"],
      begun: [0, 2],
      recoveries: ["loss 0: booked 3, held 2"],
    }],
    ["a step that the program has heard of", [{ failsAt: 3, held: 2 }], false, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 1", "4 of 1", "5 of 1"],
      begun: [0, 2],
      recoveries: ["loss 0: booked 3, held 2"],
    }],
    ["summed, and not asked for", [{ failsAt: 2, settled: 2, held: 4 }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 0", "4 of 1", "5 of 1"],
      begun: [0, 4],
      recoveries: ["loss 0: booked 4, held 4"],
    }],
    ["summed, and not committed", [{ failsAt: 2, settled: 2, held: 3 }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 1", "4 of 1", "5 of 1"],
      begun: [0, 3],
      recoveries: ["loss 0: booked 4, held 3"],
    }],
    ["in the first step", [{ failsAt: 0, held: 0 }], true, {
      steps: ["0 of 1", "1 of 1", "2 of 1", "3 of 1", "4 of 1", "5 of 1"],
      begun: [0, 0],
      recoveries: ["loss 0: booked 0, held 0"],
    }],
    ["after the last step", [{ failsAt: END, held: END }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 0", "4 of 0", "5 of 0"],
      begun: [0],
      recoveries: ["loss 0: booked 6, held 6"],
    }],
    ["after the last step, which not all hold", [{ failsAt: END, held: END - 1 }], true, {
      steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 0", "4 of 0", "5 of 1"],
      begun: [0, 5],
      recoveries: ["loss 0: booked 6, held 5"],
    }],
    [
      "again and again",
      [
        { failsAt: 3, held: 2 },
        { failsAt: 3, held: 2 },
        { failsAt: 3, settled: 1, held: 4 },
      ],
      true,
      {
        steps: ["0 of 0", "1 of 0", "2 of 2", "3 of 2", "4 of 3", "5 of 3"],
        begun: [0, 2, 2, 4],
        recoveries: [
          "loss 0: booked 3, held 2",
          "loss 1: booked 3, held 2",
          "loss 2: booked 4, held 4",
        ],
      },
    ],
    [
      "again and again, with a program that hears each step",
      [
        { failsAt: 3, held: 2 },
        { failsAt: 3, held: 2 },
        { failsAt: 2, held: 2 },
      ],
      false,
      {
        steps: ["0 of 0", "1 of 0", "2 of 0", "3 of 3", "4 of 3", "5 of 3"],
        begun: [0, 2, 2, 2],
        recoveries: [
          "loss 0: booked 3, held 2",
          "loss 1: booked 3, held 2",
          "loss 2: booked 2, held 2",
        ],
      },
    ],
  ];
  for (const [name, attempts, mayDecideAhead, expected] of cases) {
    const { calls, cluster, ruler } = fakes(attempts);
    const replies = await driveSteps(cluster, SPAN, ruler(mayDecideAhead));
    assert.deepEqual(reports(calls), expected, name);
    const isReplied = attempts.at(-1)!.held < END;
    assert.deepEqual(replies, isReplied ? [{ rank: 0, result: attempts.length }] : [], name);
  }
});

Deno.test("driveSteps() checks each step once, after the report of the one before", async () => {
  const { calls, cluster, ruler } = fakes([{ failsAt: 1, settled: 3, held: 4 }]);
  await driveSteps(cluster, SPAN, ruler(true));
  assert.deepEqual(calls, [
    'call {"startStep":0}',
    ...["check 0", "step 0 of 0", "check 1", "step 1 of 0", "check 2", "step 2 of 0", "check 3"],
    ...["loss 0: booked 4, held 4", "step 3 of 0", 'call {"startStep":4}'],
    ...["check 4", "step 4 of 1", "check 5", "step 5 of 1"],
  ]);
});

Deno.test("driveSteps() forgets a stop whose step is taken again, and keeps one that all ranks hold", async () => {
  for (const held of [2, 3]) {
    const { calls, cluster, ruler } = fakes([{ failsAt: END, held }]);
    await driveSteps(cluster, SPAN, ruler(true, 2));
    const of = held === 2 ? 1 : 0;
    assert.deepEqual(reports(calls).steps, ["0 of 0", "1 of 0", `2 of ${of}`]);
    assert.deepEqual(reports(calls).begun, held === 2 ? [0, 2] : [0]);
  }
});

Deno.test("driveSteps() ends with the error of a recovery, and reports nothing more", async () => {
  const { calls, cluster, ruler } = fakes([{ failsAt: 3, held: 3 }, {
    ...{ failsAt: 5, held: 5, isLast: true },
  }]);
  await assert.rejects(driveSteps(cluster, SPAN, ruler(true)), /^Error: loss 1$/);
  assert.deepEqual(reports(calls).steps, ["0 of 0", "1 of 0", "2 of 0", "3 of 1"]);
});

Deno.test("driveSteps() ends the ranks' command when a step fails here", async () => {
  const { cluster, ruler, signals } = fakes([{ failsAt: Infinity, held: 0 }]);
  const failing: SteppingCluster = {
    ...cluster,
    lost: new AbortController().signal,
    exchange: { reducer: { reduce: () => Promise.reject(new Error("Rank 1 keeps silent")) } },
    recover: (cause) => {
      assert.equal(signals[0]!.aborted, true, "or the next command would come in its midst");
      return Promise.reject(cause);
    },
  };
  await assert.rejects(driveSteps(failing, SPAN, ruler(true)), /keeps silent/);
});

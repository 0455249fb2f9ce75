import { hostMemory, hostOf } from "../../src/engine/device_memory.ts";
import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import type { StepKey } from "../../src/base/step_key.ts";
import { SLOTS } from "../../src/exchange/meeting.ts";
import { type Bench, contribution, openBench, takeStep } from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";

const FLOATS = 100;

function open(worldSize: number, timeoutMs = 20_000): Promise<Bench> {
  const bus = new LocalBus();
  const links = { open: () => Promise.resolve(bus.link()) };
  return openBench(links, "shared-memory", { worldSize, vectorBytes: 4 * FLOATS, timeoutMs });
}

/** Runs all ranks until they stop; returns the steps that each has taken. */
async function runRanks({ ranks }: Bench, last: number): Promise<number[]> {
  return await Promise.all(ranks.map(async (rank, index) => {
    for (let step = 0;; step++) {
      const { action } = await takeStep(rank, contribution(index, step, 2, FLOATS));
      if (action === "stop" || step === last) return step + 1;
    }
  }));
}

/** Takes steps, and returns for each how many later ones were decided on before it was read. */
async function stepsDecidedEarly(ahead: number): Promise<number[]> {
  await using bench = await open(2);
  const decided: number[] = [];
  const early: number[] = [];
  const last = 50;
  const decide = ({ step }: StepKey) => {
    decided.push(step);
    return step === last ? "stop" as const : "continue" as const;
  };
  const ranks = runRanks(bench, Infinity);
  for (let step = 0; step <= last; step++) {
    const { action } = await bench.reducer.reduce({ epoch: 1, step }, decide, { ahead });
    early.push(decided.length - 1 - step);
    assert.equal(action, step === last ? "stop" : "continue");
  }
  assert.deepEqual(await ranks, [last + 1, last + 1]);
  assert.deepEqual(decided, Array.from({ length: last + 1 }, (_, step) => step));
  return early;
}

Deno.test("SharedReducer decides on each step once, in order, and when it has begun", async () => {
  assert.deepEqual(new Set(await stepsDecidedEarly(0)), new Set([0]));
});

Deno.test("SharedReducer decides with `ahead` on short steps before they are computed", async () => {
  // On a machine with much other work, the steps of a round may all be long ones.
  for (let round = 0; round < 20; round++) {
    const most = Math.max(...await stepsDecidedEarly(1000));
    assert.ok(most >= 0 && most < SLOTS, `${most} steps`);
    if (most > 0) return;
  }
  assert.fail("no step was decided on before it was computed");
});

Deno.test("SharedReducer never decides on more steps than it may", async () => {
  await using bench = await open(1);
  const decided: number[] = [];
  const ranks = runRanks(bench, 9);
  for (let step = 0; step < 10; step++) {
    await bench.reducer.reduce({ epoch: 1, step }, (key) => {
      decided.push(key.step);
      return "continue";
    }, { ahead: 10 - step });
  }
  await ranks;
  assert.deepEqual(decided, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("ranks wait for a coordinator that doesn't read their records", async () => {
  await using bench = await open(2);
  const ranks = runRanks(bench, 3 * SLOTS - 1);
  const read = async (steps: number, from: number) => {
    for (let step = from; step < from + steps; step++) {
      const { lossSum } = await bench.reducer.reduce(
        { epoch: 1, step },
        () => "continue",
        { ahead: 1000 },
      );
      assert.equal(lossSum, 0.1 + 0.2, `the record of step ${step}`);
    }
  };
  await read(SLOTS, 0);
  await delay(100); // the ranks run on as far as they may
  await read(2 * SLOTS, SLOTS);
  assert.deepEqual(await ranks, [3 * SLOTS, 3 * SLOTS]);
});

Deno.test("a step longer than 20 ms is decided when its first rank has contributed, whatever may be ahead", async () => {
  await using bench = await open(2);
  const contributed = [0, 0];
  const decided = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
  const ranks = bench.ranks.map(async (rank, index) => {
    for (let step = 0; step < 4; step++) {
      await (index === 0 ? delay(40) : decided[step].promise);
      contributed[index]++;
      await takeStep(rank, contribution(index, step, 2, FLOATS));
    }
  });
  for (let step = 0; step < 4; step++) {
    await bench.reducer.reduce({ epoch: 1, step }, (key) => {
      assert.deepEqual([key.step, ...contributed], [step, step + 1, step]);
      decided[step].resolve();
      return "continue";
    }, { ahead: 1000 });
  }
  await Promise.all(ranks);
});

Deno.test("a rank in another step is an error on every rank and of the coordinator", async () => {
  await using bench = await open(2);
  const outcomes = await Promise.allSettled([
    bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"),
    takeStep(bench.ranks[0], contribution(0, 0, 2, FLOATS)),
    takeStep(bench.ranks[1], contribution(1, 3, 2, FLOATS)),
  ]);
  const message = (index: number) => {
    const outcome = outcomes[index]!;
    return outcome.status === "rejected" ? outcome.reason.message : "no error";
  };
  assert.equal(message(0), "Rank 1 is in epoch 1, step 3, the coordinator in epoch 1, step 0");
  assert.match(
    message(1),
    /^Rank 1 is in epoch 1, step 3 with 100 values, rank 0 in epoch 1, step 0/,
  );
  assert.match(
    message(2),
    /^Rank 0 is in epoch 1, step 0 with 100 values, rank 1 in epoch 1, step 3/,
  );
});

Deno.test("a rank with another model is named before anything is summed", async () => {
  await using bench = await open(2);
  const { SharedGradientExchange } = await import("../../src/exchange/shared_exchange.ts");
  const { buffers } = bench.ranks[1];
  const other = { ...buffers, vector: hostMemory(hostOf(buffers.vector).subarray(0, 64)) };
  const shape = { rank: 1, worldSize: 2, vectorBytes: 64, regions: 1, buffers: other };
  const exchange = new SharedGradientExchange(shape);
  const { vector: _, ...own } = contribution(1, 0, 2, 16);
  const failed = Promise.all([
    assert.rejects(takeStep(bench.ranks[0], contribution(0, 0, 2, FLOATS)), {
      message: /^Rank 1 is in epoch 1, step 0 with 16 values, rank 0 in .* with 100 values$/,
    }),
    assert.rejects(exchange.reduceScatter(own), { message: /^Rank 0 is in .* with 100 values/ }),
  ]);
  await assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"), {
    message: "Rank 1 exchanges 64 bytes, the coordinator 400 in shared memory: their models differ",
  });
  await failed;
});

Deno.test("a step that failed is the last one of a rank", async () => {
  await using bench = await open(2);
  const controller = new AbortController();
  const waiting = bench.exchanges[0].reduceScatter(
    contribution(0, 0, 2, FLOATS),
    controller.signal,
  );
  controller.abort(new Error("told to end"));
  await assert.rejects(waiting, { message: "told to end" });
  await assert.rejects(bench.exchanges[0].reduceScatter(contribution(0, 0, 2, FLOATS)), {
    message: "An exchange was used after a step that failed",
  });
});

Deno.test("SharedReducer.settled() gives steps that all ranks have summed and nobody has asked for, in order", async () => {
  await using bench = await open(2);
  const [one, two] = bench.ranks;
  const grant = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  await Promise.all(
    [one, two].map((rank, index) => takeStep(rank!, contribution(index, 0, 2, FLOATS))),
  );
  await grant;
  assert.equal(bench.reducer.settled!({ epoch: 1, step: 1 }), undefined, "not begun");
  // The coordinator is interrupted when it has granted step 1, and the other rank has yet to contribute.
  const stop = new AbortController();
  const granted = Promise.withResolvers<void>();
  const interrupted = bench.reducer.reduce({ epoch: 1, step: 1 }, () => {
    granted.resolve();
    return "continue";
  }, { signal: stop.signal, ahead: 1 });
  const early = takeStep(one!, contribution(0, 1, 2, FLOATS));
  await granted.promise;
  stop.abort(new Error("a loss"));
  await assert.rejects(interrupted, /a loss/);
  assert.equal(bench.reducer.settled!({ epoch: 1, step: 1 }), undefined, "one of two");
  await Promise.all([early, takeStep(two!, contribution(1, 1, 2, FLOATS))]);
  const { samples, lossSum, action } = bench.reducer.settled!({ epoch: 1, step: 1 })!;
  assert.deepEqual([samples, lossSum, action], [4, 0.1 + 0.2, "continue"]);
  assert.equal(bench.reducer.settled!({ epoch: 1, step: 2 }), undefined, "each once");
});

Deno.test("ends that were closed in any phase write nothing more, and new ones work on new memory", async () => {
  const phases: ((rank: Bench["ranks"][number]) => Promise<unknown>)[] = [
    () => Promise.resolve(), // between steps
    (rank) => takeStep(rank, contribution(0, 0, 2, FLOATS)), // waiting for the others
    async ({ exchange }) => {
      await exchange.allReduce(new Float64Array(3));
    },
  ];
  for (const phase of phases) {
    await using old = await open(2);
    const [rank] = old.ranks;
    const working = phase(rank!);
    working.catch(() => {});
    await delay(20);
    await rank!.exchange.close();
    await old.reducer.close();
    await working.catch(({ message }) => assert.match(message, /closed in the middle of a step/));
    const memory = rank!.buffers.meeting!;
    const before = memory.slice();
    await assert.rejects(takeStep(rank!, contribution(0, 1, 2, FLOATS)), /used after close/);

    await using bench = await open(1);
    const ranks = runRanks(bench, 2);
    for (let step = 0; step < 3; step++) {
      await bench.reducer.reduce({ epoch: 1, step }, () => "continue");
    }
    assert.deepEqual(await ranks, [3]);
    assert.deepEqual(memory, before, "of the old end");
  }
});

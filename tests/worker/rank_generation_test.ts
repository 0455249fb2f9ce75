import assert from "node:assert/strict";
import { CPU_DEVICE } from "../../src/base/compute_device.ts";
import { RankGeneration } from "../../src/worker/rank_generation.ts";
import type { StepResult } from "../../src/exchange/gradient_exchange.ts";
import type { Link } from "../../src/protocol/link.ts";
import { LocalBus } from "../support/local_link.ts";
import { UNTRAINED, VectorState } from "../support/vector_state.ts";

type Options = ConstructorParameters<typeof RankGeneration>[0];

const BYTES = 64;
const TIMES = { data: 0, forwardBackward: 0, exchange: 0, update: 0 };

/** A worker that joined with a rank, whose exchange goes over a local bus. */
function worker(rank = 2) {
  const calls: string[] = [];
  const state = new VectorState(BYTES);
  const link = Object.assign(new LocalBus().link(), {
    from: "",
    enterGeneration: (generation: number) => void calls.push(`generation ${generation}`),
  });
  const place = { rank, worldSize: 3 };
  const generation = new RankGeneration({
    config: {
      exchange: "nats",
      nats: { gradientDtype: "float32" },
      liveness: { reportAfter: 60 },
      nccl: { bucketSize: 0 },
      engine: { deterministic: true },
    } as Options["config"],
    ...{ state, place, link: link as unknown as Link },
    heartbeat: { rename: (rank) => void calls.push(`heartbeat of rank ${rank}`) },
    engine: { device: CPU_DEVICE },
    signal: new AbortController().signal,
  });
  const open = (number: number, ranks: Record<string, number>, hold: Held | null = null) =>
    generation.open(
      {
        generation: number,
        worldSize: Object.keys(ranks).length,
        ranks,
        segments: null,
        hosts: null,
        hold,
      },
      new AbortController().signal,
    );
  /** Takes steps, whose numbers are added to the state; those of `unchanged` change nothing. */
  const train = (at: Held, steps: number, unchanged: readonly number[] = []) => {
    const { onCommit, onEnd } = generation.counting(at);
    for (let step = at.steps; step < at.steps + steps; step++) {
      if (!unchanged.includes(step)) {
        state.buffers.reduced.host!.fill(0);
        new Float32Array(state.buffers.reduced.host!.buffer, state.buffers.reduced.host!.byteOffset)
          .fill(step + 1, 0, BYTES / 4);
        state.update();
        state.commit();
        onCommit();
      }
      onEnd(step, TIMES, {} as StepResult);
    }
  };
  return { calls, state, link, place, generation, open, train };
}

interface Held {
  readonly epoch: number;
  readonly steps: number;
}

Deno.test("RankGeneration.open() gives the rank of the number with which the worker joined, again and again", async () => {
  const { calls, state, link, place, generation, open } = worker(2);
  assert.throws(() => generation.exchange, TypeError);
  await open(1, { 1: 0, 2: 1 });
  assert.deepEqual([place, link.from], [{ rank: 1, worldSize: 2 }, "rank 1"]);
  await generation.pause();
  assert.throws(() => generation.exchange, TypeError, "none between generations");
  await open(2, { 2: 0 }); // not its rank of generation 1
  assert.deepEqual([place, link.from], [{ rank: 0, worldSize: 1 }, "rank 0"]);
  assert.deepEqual(calls, [
    ...["heartbeat of rank 1", "generation 1", "heartbeat of rank 0", "generation 2"],
  ]);
  assert.deepEqual(state.calls, ["attach", "restore", "attach"]);
  await generation.pause();
  await assert.rejects(open(3, { 0: 0, 1: 1 }), /^LockstepError: Worker 2 isn't in generation 3$/);
});

Deno.test("RankGeneration.open() keeps the values of a state that was loaded", async () => {
  const { state, generation, open } = worker();
  state.values.fill(7);
  generation.loaded(null);
  await open(1, { 2: 0 });
  assert.deepEqual([state.calls, state.values[3]], [["move"], 7]);
  const fresh = worker();
  await fresh.open(1, { 2: 0 });
  assert.equal(fresh.state.values[3], UNTRAINED, "or the test shows nothing");
});

Deno.test("RankGeneration counts the steps that a state holds, and tells them in a pause", async () => {
  const { generation, train, open, state } = worker();
  state.values.fill(0);
  assert.deepEqual(await generation.pause(), { hasState: false, held: null });
  generation.loaded({ epoch: 2, steps: 3 });
  assert.deepEqual(await generation.pause(), { hasState: true, held: { epoch: 2, steps: 3 } });
  await open(1, { 2: 0 });
  train({ epoch: 2, steps: 3 }, 4);
  assert.deepEqual(await generation.pause(), { hasState: true, held: { epoch: 2, steps: 7 } });
  train({ epoch: 3, steps: 0 }, 0);
  assert.deepEqual((await generation.pause()).held, { epoch: 3, steps: 0 }, "of the new command");
  generation.loaded(null);
  assert.deepEqual(await generation.pause(), { hasState: true, held: null });
});

Deno.test("RankGeneration.hold() takes at most one step back, and only if it has changed the state", async () => {
  const made = async (unchanged: readonly number[] = []) => {
    const each = worker();
    each.state.values.fill(0);
    each.generation.loaded(null);
    await each.open(0, { 2: 0 });
    each.train({ epoch: 5, steps: 0 }, 3, unchanged);
    return each;
  };
  const { generation, state } = await made();
  assert.equal(state.values[1], 1 + 2 + 3);
  generation.hold({ epoch: 5, steps: 3 });
  generation.hold(null);
  generation.hold({ epoch: 6, steps: 2 }); // the command of epoch 6 has not come
  assert.equal(state.values[1], 6, "as many, or nothing known");
  for (let time = 0; time < 2; time++) generation.hold({ epoch: 5, steps: 2 });
  assert.equal(state.values[1], 3, "one step less, once");
  assert.deepEqual((await generation.pause()).held, { epoch: 5, steps: 2 });
  for (const steps of [0, 1, 3, 9]) {
    assert.throws(() => generation.hold({ epoch: 5, steps }), {
      name: "LockstepError",
      message: `Rank 0 holds 2 steps of epoch 5, and is to hold ${steps}`,
    });
  }

  const skipping = await made([2]);
  skipping.generation.hold({ epoch: 5, steps: 2 });
  assert.equal(skipping.state.values[1], 3, "the last step had changed nothing");
  assert.ok(!skipping.state.calls.includes("uncommit"));
  assert.throws(() => skipping.generation.hold({ epoch: 5, steps: 1 }));
});

Deno.test("RankGeneration.open() takes a step back before the state moves", async () => {
  const { generation, state, open, train } = worker();
  state.values.fill(0);
  generation.loaded(null);
  await open(0, { 2: 0 });
  train({ epoch: 1, steps: 0 }, 2);
  await generation.pause();
  await open(1, { 2: 0 }, { epoch: 1, steps: 1 });
  assert.deepEqual(state.calls.slice(-3), ["restore", "uncommit", "move"]);
  assert.equal(state.values[1], 1);
});

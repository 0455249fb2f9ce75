import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { randomStream } from "../../src/base/random.ts";
import type { StepContribution, StepResult } from "../../src/exchange/gradient_exchange.ts";
import { NatsGradientExchange } from "../../src/exchange/nats_exchange.ts";
import { NatsReducer } from "../../src/exchange/nats_reducer.ts";
import { weightedSum } from "../../src/exchange/weighted_sum.ts";
import { encodeFrame } from "../../src/protocol/codec.ts";
import { Link } from "../../src/protocol/link.ts";
import { makeHeader } from "../../src/protocol/messages.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { type Rig, startPlainServer, startRig } from "../support/nats_server.ts";

const FLOATS = 1_300_001; // 5.2 MB: five chunks, the last one short
const BYTES = 4 * FLOATS;
const CHUNK_BYTES = 1024 * 1024;

interface Bench extends AsyncDisposable {
  readonly reducer: NatsReducer;
  readonly exchanges: readonly NatsGradientExchange[];
  readonly coordinator: Link;
}

async function openBench(
  rig: Pick<Rig, "open">,
  worldSize: number,
  vectorBytes = BYTES,
  timeoutMs = 20_000,
): Promise<Bench> {
  const coordinator = await rig.open("coordinator");
  const reducer = await NatsReducer.open(coordinator, { worldSize, vectorBytes, timeoutMs });
  const exchanges: NatsGradientExchange[] = [];
  for (let rank = 0; rank < worldSize; rank++) {
    const link = await rig.open(`rank ${rank}`);
    const options = { rank, worldSize, vectorBytes, timeoutMs };
    exchanges.push(await NatsGradientExchange.open(link, options));
  }
  return {
    reducer,
    exchanges,
    coordinator,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(exchanges.map((exchange) => exchange.close()));
      await reducer.close();
    },
  };
}

function contribution(rank: number, step: number, samples: number, floats = FLOATS) {
  const next = randomStream(rank, step, "contribution");
  const values = new Float32Array(floats);
  for (let i = 0; i < floats; i++) values[i] = next() - 0.5;
  return {
    epoch: 1,
    step,
    samples,
    weight: samples,
    vector: new Uint8Array(values.buffer),
    lossSum: 0.1 * (rank + 1),
    correct: rank,
  } satisfies StepContribution;
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

function reference(contributions: readonly StepContribution[]): Float32Array {
  const senders = contributions.filter(({ samples }) => samples > 0);
  const total = senders.reduce((sum, { samples }) => sum + samples, 0);
  const target = new Float32Array(contributions[0].vector.length / 4);
  weightedSum(
    target,
    senders.map(({ vector }) => floatsOf(vector)),
    senders.map(({ samples }) => samples / total),
  );
  return target;
}

async function oneStep(bench: Bench, contributions: readonly StepContribution[]) {
  const [{ epoch, step }] = contributions;
  return await Promise.all([
    bench.reducer.reduce({ epoch, step }, () => "continue"),
    ...contributions.map((own, rank) => bench.exchanges[rank].allReduce(own)),
  ]);
}

for (const worldSize of [1, 2, 3, 4]) {
  Deno.test(`NatsReducer.reduce() gives ${worldSize} ranks the exact weighted sum, step after step`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, worldSize);
    for (const step of [0, 1, 2]) {
      const contributions = Array.from(
        { length: worldSize },
        (_, rank) => contribution(rank, step, 5 + 3 * rank),
      );
      const [totals, ...results] = await oneStep(bench, contributions);
      const expected = reference(contributions);
      const sum = (pick: (own: StepContribution) => number) =>
        contributions.map(pick).reduce((a, b) => a + b, 0);
      for (const result of results) {
        assert.deepEqual(floatsOf(result.vector), expected);
        assert.equal(result.samples, sum(({ samples }) => samples));
        assert.equal(result.lossSum, sum(({ lossSum }) => lossSum));
        assert.equal(result.correct, sum(({ correct }) => correct));
        assert.deepEqual([result.action, result.finite], ["continue", true]);
      }
      const { samples, lossSum, correct } = results[0];
      assert.deepEqual(totals, {
        samples,
        weight: samples,
        lossSum,
        correct,
        finite: true,
        worstRank: undefined,
        action: "continue",
      });
    }
  });
}

Deno.test("NatsReducer.reduce() leaves a rank without samples out, which gets the result", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2);
  const idle = { ...contribution(1, 0, 0), lossSum: 0, correct: 0 };
  new Float32Array(idle.vector.buffer).fill(NaN); // what an idle rank holds must not matter
  const busy = contribution(0, 0, 7);
  const [, first, second] = await oneStep(bench, [busy, idle]);
  assert.deepEqual(first.vector, busy.vector);
  assert.deepEqual(second.vector, busy.vector);
  assert.equal(second.samples, 7);
});

Deno.test("NatsReducer.reduce() tells all ranks to stop, and works with an empty vector", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2, 0);
  const contributions = [0, 1].map((rank) => contribution(rank, 0, 1, 0));
  const [totals, ...results] = await Promise.all([
    bench.reducer.reduce({ epoch: 1, step: 0 }, () => "stop"),
    ...contributions.map((own, rank) => bench.exchanges[rank].allReduce(own)),
  ]);
  assert.equal(totals.action, "stop");
  assert.deepEqual(results.map(({ action }) => action), ["stop", "stop"]);
});

Deno.test("NatsReducer.reduce() names the rank whose vector or loss is not finite", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2);
  const poisoned = contribution(1, 0, 4);
  new Float32Array(poisoned.vector.buffer)[FLOATS - 1] = Infinity;
  const [totals, ...results] = await oneStep(bench, [contribution(0, 0, 4), poisoned]);
  assert.deepEqual([totals.finite, totals.worstRank], [false, 1]);
  assert.deepEqual(results.map(({ finite }) => finite), [false, false]);

  const lossless = { ...contribution(0, 1, 4), lossSum: NaN };
  const [next, ...after] = await oneStep(bench, [lossless, contribution(1, 1, 4)]);
  assert.deepEqual([next.finite, next.worstRank], [false, 0]);
  assert.ok(after.every((result) => !result.finite && Number.isNaN(result.lossSum)));
});

Deno.test("NatsReducer.reduce() uses contributions that come before the call", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 1);
  const own = contribution(0, 0, 4);
  const early = bench.exchanges[0].allReduce(own);
  await delay(200);
  await bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  assert.deepEqual((await early).vector, own.vector);
});

Deno.test("NatsReducer ignores repeated, late and foreign messages", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2);
  await oneStep(bench, [0, 1].map((rank) => contribution(rank, 0, 4)));

  const forger = await rig.open("rank 1");
  const stranger = await Link.open(rig.broker, { ...rig.run, token: "guessed" }, "rank 1");
  const subject = forger.subjects.gradient(1);
  const wrong = new Uint8Array(CHUNK_BYTES).fill(1);
  const step0 = { rank: 1, epoch: 1, step: 0, chunk: 0 };
  forger.publish(subject, "gradient", step0, wrong); // late
  stranger.publish(subject, "gradient", { ...step0, step: 1 }, wrong);
  forger.publishFrame(subject, new TextEncoder().encode("not a frame"));
  await Promise.all([forger.flush(), stranger.flush()]);

  const contributions = [0, 1].map((rank) => contribution(rank, 1, 4));
  const real = contributions[1].vector.subarray(0, wrong.length);
  forger.publish(subject, "gradient", { ...step0, step: 1 }, real); // will come a second time
  const [, ...results] = await oneStep(bench, contributions);
  assert.deepEqual(floatsOf(results[0].vector), reference(contributions));
  assert.equal(bench.coordinator.refused.token, 1);
  assert.equal(bench.coordinator.refused.malformed, 1);
  await stranger.close();
});

Deno.test("NatsReducer asks again for a damaged chunk, and both sides for lost ones", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 1);
  const own = contribution(0, 0, 4);
  const forger = await rig.open("rank 0");
  const fields = { rank: 0, epoch: 1, step: 0, chunk: 1 };
  const sender = { token: rig.run.token, from: "rank 0" };
  const damaged = encodeFrame(makeHeader(sender, "gradient", fields, 12345), own.vector);

  const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  let asked = 0;
  forger.subscribe(forger.subjects.missing(0), { missing: () => asked++ });
  await forger.flush();
  forger.publishFrame(forger.subjects.gradient(0), damaged.subarray(0, 4 * 1024 * 1024));
  await forger.flush();
  const result = await bench.exchanges[0].allReduce(own);
  await reduced;
  assert.deepEqual(result.vector, own.vector);
  assert.equal(bench.coordinator.refused.corrupt, 1);
  assert.equal(asked, 1);
});

Deno.test("NatsReducer.reduce() gives up on a sender whose chunks are always damaged, naming it", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 1);
  const forger = await rig.open("rank 0");
  const fields = { rank: 0, epoch: 1, step: 0, chunk: 0 };
  const header = makeHeader({ token: rig.run.token, from: "rank 0" }, "gradient", fields, 1);
  const frame = encodeFrame(header, new Uint8Array(64));
  const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  const failure = assert.rejects(reduced, {
    name: "ProtocolError",
    message: /^A message of rank 0 on lockstep\.test-\w+\.gradient\.0 arrived damaged/,
  });
  for (let time = 0; time < 6; time++) forger.publishFrame(forger.subjects.gradient(0), frame);
  await failure;
});

Deno.test("a lost result is sent again, also when the coordinator waits for the next step", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const options = { worldSize: 1, vectorBytes: BYTES, timeoutMs: 20_000 };
  const reducer = await NatsReducer.open(coordinator, options);
  // A worker that hears nothing at first: it sends from a link of its own, and listens only later.
  const mute = await rig.open("rank 0");
  const own = contribution(0, 0, 4);
  const { vector, ...totals } = own;
  const chunkBytes = CHUNK_BYTES;
  const subject = mute.subjects.gradient(0);
  mute.publish(subject, "contribution", { rank: 0, ...totals, bytes: BYTES, chunkBytes });
  for (let chunk = 0; chunk < 5; chunk++) {
    const part = vector.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes);
    mute.publish(subject, "gradient", { rank: 0, epoch: 1, step: 0, chunk }, part);
  }
  await reducer.reduce({ epoch: 1, step: 0 }, () => "stop");
  const next = new AbortController();
  const waiting = reducer.reduce({ epoch: 1, step: 1 }, () => "stop", next.signal);
  const stopped = assert.rejects(waiting, { message: "test over" });

  const exchange = await NatsGradientExchange.open(await rig.open("rank 0"), {
    rank: 0,
    ...options,
  });
  const result: StepResult = await exchange.allReduce(own); // asks again after 2 s of silence
  assert.deepEqual(result.vector, own.vector);
  assert.equal(result.action, "stop");
  next.abort(new Error("test over"));
  await stopped;
  await exchange.close();
  await reducer.close();
});

Deno.test("reduce() and allReduce() end with a clear error when the others keep silent", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2, BYTES, 1_000);
  await Promise.all([
    assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"), {
      name: "LockstepError",
      message: "No gradients from rank 1 for 1 s in epoch 1, step 0",
    }),
    assert.rejects(bench.exchanges[0].allReduce(contribution(0, 0, 4)), {
      name: "LockstepError",
      message: "Rank 0 got no answer from the coordinator for 1 s in epoch 1, step 0",
    }),
  ]);
});

Deno.test("reduce() and allReduce() end at once with the signal's reason", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2);
  const controller = new AbortController();
  const { signal } = controller;
  setTimeout(() => controller.abort(new Error("told to end")), 50);
  const reason = { message: "told to end" };
  await Promise.all([
    assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue", signal), reason),
    assert.rejects(bench.exchanges[0].allReduce(contribution(0, 0, 4), signal), reason),
  ]);
});

Deno.test("reduce() fails when a rank is in a later step, or exchanges another model", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, 2);
  const ahead = bench.exchanges[1].allReduce(contribution(1, 3, 4));
  const aheadFails = assert.rejects(ahead);
  await assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"), {
    message: "Rank 1 is in epoch 1, step 3, the coordinator in epoch 1, step 0",
  });
  await bench.exchanges[1].close();
  await aheadFails;

  const link = await rig.open("rank 0");
  const reduced = bench.reducer.reduce({ epoch: 2, step: 0 }, () => "continue");
  const differs = assert.rejects(reduced, { message: /^Rank 0 exchanges 8 bytes in chunks of / });
  link.publish(link.subjects.gradient(0), "contribution", {
    ...{ rank: 0, epoch: 2, step: 0, samples: 1, weight: 1, lossSum: 1, correct: 1 },
    ...{ bytes: 8, chunkBytes: 8 },
  });
  await differs;
});

/** A server without a token, and links to it that are closed with it. */
async function startPlainRig(config?: string) {
  const server = await startPlainServer(config);
  const run = makeRunIdentity("plain");
  const links: Link[] = [];
  const rig = {
    server,
    open: async (from: string) => {
      const link = await Link.open(rig.server, run, from);
      links.push(link);
      return link;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(links.map((link) => link.close()));
      await rig.server[Symbol.asyncDispose]();
    },
  };
  return rig;
}

Deno.test("the chunks adapt to a server with a small max_payload", async () => {
  await using rig = await startPlainRig("max_payload: 65536");
  await using bench = await openBench(rig, 2);
  const contributions = [0, 1].map((rank) => contribution(rank, 0, 4));
  const [, first, second] = await oneStep(bench, contributions);
  assert.deepEqual(floatsOf(first.vector), reference(contributions));
  assert.deepEqual(first.vector, second.vector);
});

Deno.test("a server that drops slow readers early loses no chunk unnoticed", async () => {
  await using rig = await startPlainRig("max_pending: 4194304");
  await using bench = await openBench(rig, 2, 4 * 8_000_000);
  const contributions = [0, 1].map((rank) => contribution(rank, 0, 4, 8_000_000));
  const [, first, second] = await oneStep(bench, contributions);
  assert.deepEqual(floatsOf(first.vector), reference(contributions));
  assert.deepEqual(first.vector, second.vector);
});

Deno.test("steps go on when the server was killed and started again", async () => {
  await using rig = await startPlainRig();
  const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
  await using bench = await openBench(rig, 2);
  const steps = 40;
  const restart = (async () => {
    await delay(300);
    await rig.server[Symbol.asyncDispose]();
    await delay(300);
    return await startPlainServer("", port);
  })();
  const rank = async (own: number) => {
    const sums: Uint8Array[] = [];
    for (let step = 0; step < steps; step++) {
      const { vector } = await bench.exchanges[own].allReduce(contribution(own, step, 4));
      sums.push(vector.slice());
    }
    return sums;
  };
  const reduce = async () => {
    for (let step = 0; step < steps; step++) {
      await bench.reducer.reduce({ epoch: 1, step }, () => "continue");
    }
  };
  const [first, second] = await Promise.all([rank(0), rank(1), reduce()]);
  for (const step of first.keys()) {
    const contributions = [0, 1].map((own) => contribution(own, step, 4));
    assert.deepEqual(floatsOf(first[step]), reference(contributions));
    assert.deepEqual(first[step], second[step]);
  }
  rig.server = await restart;
});

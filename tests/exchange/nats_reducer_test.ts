import assert from "node:assert/strict";
import { planChunks } from "../../src/exchange/chunks.ts";
import { openExchange } from "../../src/exchange/open_exchange.ts";
import { NatsReducer } from "../../src/exchange/nats_reducer.ts";
import { narrow } from "../../src/exchange/narrow.ts";
import { Link } from "../../src/protocol/link.ts";
import type { GradientDtype } from "../../src/protocol/messages.ts";
import {
  BYTES,
  contribution,
  floatsOf,
  oneStep,
  openBench,
  reduceScatter,
  reference,
  takeStep,
  wireOf,
} from "../support/exchange_bench.ts";
import { frameOf } from "../support/frames.ts";
import { startPlainRig, startRig } from "../support/nats_server.ts";

const CHUNK_BYTES = 1024 * 1024;
/** The encoding of a contribution that isn't narrowed. */
const FLOAT32 = { dtype: "float32", narrowBytes: 0 } as const;

for (const dtype of ["float32", "bfloat16"] as const) {
  const wire = wireOf(dtype);

  Deno.test(`NatsReducer ignores repeated, late and foreign messages (${dtype})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, "nats", { worldSize: 2, wire });
    await oneStep(bench, [0, 1].map((rank) => contribution(rank, 0, 4)));

    const forger = await rig.open("rank 1");
    const stranger = await Link.open(rig.broker, { ...rig.run, key: "guessed" }, "rank 1");
    const subject = forger.subjects.gradient(1);
    const wrong = new Uint8Array(CHUNK_BYTES).fill(1);
    const step0 = { rank: 1, epoch: 1, step: 0, chunk: 0, tooLarge: false };
    forger.publish(subject, "gradient", step0, wrong); // late
    stranger.publish(subject, "gradient", { ...step0, step: 1 }, wrong);
    forger.publishFrame(subject, new TextEncoder().encode("not a frame"));
    await Promise.all([forger.flush(), stranger.flush()]);

    const contributions = [0, 1].map((rank) => contribution(rank, 1, 4));
    const real = firstChunk(contributions[1].vector, dtype);
    forger.publish(subject, "gradient", { ...step0, step: 1 }, real); // will come a second time
    const [, ...results] = await oneStep(bench, contributions);
    assert.deepEqual(floatsOf(results[0].vector), reference(contributions, wire));
    assert.equal(bench.coordinator.refused.unsigned, 1);
    assert.equal(bench.coordinator.refused.malformed, 1);
    await stranger.close();
  });

  Deno.test(`NatsReducer asks again for a damaged chunk, and both sides for lost ones (${dtype})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, "nats", { worldSize: 1, wire });
    const own = contribution(0, 0, 4);
    const forger = await rig.open("rank 0");
    const fields = { rank: 0, epoch: 1, step: 0, chunk: 1, tooLarge: false };
    const subject = forger.subjects.gradient(0);
    const damaged = frameOf(forger, () => {
      forger.publish(subject, "gradient", fields, new Uint8Array(4 * CHUNK_BYTES));
    });
    damaged[damaged.length - 1] ^= 1;

    const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
    let asked = 0;
    forger.subscribe(forger.subjects.missing(0), {
      // On a machine that stands still, all is asked for by a timer, too.
      missing: ({ header }) => asked += header.totals ? 0 : 1,
    });
    await forger.flush();
    forger.publishFrame(subject, damaged);
    await forger.flush();
    const result = await takeStep(bench.ranks[0], own);
    await reduced;
    assert.deepEqual(floatsOf(result.vector), reference([own], wire));
    assert.equal(bench.coordinator.refused.corrupt, 1);
    assert.equal(asked, 1);
  });

  Deno.test(`the chunks adapt to a server with a small max_payload (${dtype})`, async () => {
    await using rig = await startPlainRig("max_payload: 65536");
    await using bench = await openBench(rig, "nats", { worldSize: 2, wire });
    const contributions = [0, 1].map((rank) => contribution(rank, 0, 4));
    const [, first, second] = await oneStep(bench, contributions);
    assert.deepEqual(floatsOf(first.vector), reference(contributions, wire));
    assert.deepEqual(first.vector, second.vector);
  });

  Deno.test(`a server that drops slow readers early loses no chunk unnoticed (${dtype})`, async () => {
    await using rig = await startPlainRig("max_pending: 4194304");
    const large = wireOf(dtype, 4 * 8_000_000);
    await using bench = await openBench(rig, "nats", {
      worldSize: 2,
      vectorBytes: 4 * 8_000_000,
      wire: large,
    });
    const contributions = [0, 1].map((rank) => contribution(rank, 0, 4, 8_000_000));
    const [, first, second] = await oneStep(bench, contributions);
    assert.deepEqual(floatsOf(first.vector), reference(contributions, large));
    assert.deepEqual(first.vector, second.vector);
  });
}

Deno.test("NatsReducer.reduce() gives up on a sender whose chunks are always damaged, naming it", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "nats", { worldSize: 1 });
  const forger = await rig.open("rank 0");
  const fields = { rank: 0, epoch: 1, step: 0, chunk: 0, tooLarge: false };
  const subject = forger.subjects.gradient(0);
  const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  const failure = assert.rejects(reduced, {
    name: "ProtocolError",
    message: /^A message of rank 0 on lockstep\.test-\w+\.0\.gradient\.0 arrived damaged/,
  });
  for (let time = 0; time < 6; time++) {
    const damaged = frameOf(forger, () => {
      forger.publish(subject, "gradient", fields, new Uint8Array(64));
    });
    damaged[damaged.length - 1] ^= 1;
    forger.publishFrame(subject, damaged);
  }
  await failure;
});

Deno.test("a lost result is sent again, also when the coordinator waits for the next step", async () => {
  await using rig = await startRig();
  const coordinator = await rig.open("coordinator");
  const options = { worldSize: 1, vectorBytes: BYTES, regions: 1, timeoutMs: 20_000 };
  const reducer = await NatsReducer.open(coordinator, options);
  // A worker that hears nothing at first: it sends from a link of its own, and listens only later.
  const mute = await rig.open("rank 0");
  const own = contribution(0, 0, 4);
  const { vector, ...totals } = { ...own, statisticsRows: own.samples, trackedBatches: 1 };
  const chunkBytes = CHUNK_BYTES;
  const subject = mute.subjects.gradient(0);
  const format = { bytes: BYTES, chunkBytes, ...FLOAT32 };
  mute.publish(subject, "contribution", { rank: 0, ...totals, ...format });
  const { chunks } = planChunks(BYTES, 1, mute.maxPayloadBytes);
  for (const [chunk, { begin, bytes }] of chunks.entries()) {
    const part = vector.subarray(4 * begin, 4 * begin + bytes);
    const fields = { rank: 0, epoch: 1, step: 0, chunk, tooLarge: false };
    mute.publish(subject, "gradient", fields, part);
  }
  await reducer.reduce({ epoch: 1, step: 0 }, () => "stop");
  const next = new AbortController();
  const waiting = reducer.reduce({ epoch: 1, step: 1 }, () => "stop", { signal: next.signal });
  const stopped = assert.rejects(waiting, { message: "test over" });

  const rank = await openExchange(await rig.open("rank 0"), { rank: 0, ...options }, undefined);
  const result = await takeStep(rank, own); // asks again after 2 s of silence
  assert.deepEqual(result.vector, own.vector);
  assert.equal(result.action, "stop");
  next.abort(new Error("test over"));
  await stopped;
  await rank.exchange.close();
  await reducer.close();
});

Deno.test("reduce() fails when a rank is in a later step, or exchanges another model", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "nats", { worldSize: 2 });
  const ahead = reduceScatter(bench.ranks[1], contribution(1, 3, 4));
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
    ...{ rank: 0, epoch: 2, step: 0, samples: 1, weight: 1, lossSum: 1, correct: 1, times: null },
    ...{ statisticsRows: 1, trackedBatches: 1 },
    ...{ bytes: 8, chunkBytes: 8, ...FLOAT32 },
  });
  await differs;
});

/** The first message's payload. */
function firstChunk(vector: Uint8Array, dtype: GradientDtype): Uint8Array {
  if (dtype === "float32") return vector.slice(0, CHUNK_BYTES);
  const narrowed = new Uint8Array(CHUNK_BYTES);
  narrow(narrowed, floatsOf(vector).subarray(0, CHUNK_BYTES / 2), dtype);
  return narrowed;
}

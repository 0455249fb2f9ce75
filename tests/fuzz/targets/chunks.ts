/**
 * Fuzzer of the reassembly of chunks: an all-reduce and the transfer of a blob over links that lose, repeat, damage and
 * reorder.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { NatsGradientExchange } from "../../../src/exchange/nats_exchange.ts";
import { NatsReducer } from "../../../src/exchange/nats_reducer.ts";
import { hostVectors } from "../../../src/exchange/step_buffers.ts";
import { BlobTransfers } from "../../../src/protocol/blob_transfers.ts";
import { contribution, reference } from "../../support/exchange_bench.ts";
import { ChaoticBus, type Fate, type Turn } from "../chaotic_bus.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { checkRefusal } from "../refusals.ts";

const fate = fc.constantFrom<Fate>(
  ...[
    "deliver",
    "deliver",
    "deliver",
    "repeat",
    "damage",
    "lose",
    "foreign",
    "other length",
  ] as const,
);
const schedule: fc.Arbitrary<Turn[]> = fc.array(
  fc.record({ pick: fc.nat(20), fate, length: fc.nat(40) }),
  { maxLength: 25 },
);
const sums = fc.record({
  kind: fc.constant("sum" as const),
  worldSize: fc.integer({ min: 1, max: 3 }),
  floats: fc.integer({ min: 0, max: 24 }),
  payload: fc.integer({ min: 4, max: 48 }),
  gradients: fc.nat(24),
  dtype: fc.constantFrom("float32" as const, "bfloat16" as const),
  steps: fc.integer({ min: 1, max: 2 }),
  /** Small values that are summed before each step. */
  values: fc.nat(3),
  schedule,
});
const blobs = fc.record({
  kind: fc.constant("blob" as const),
  bytes: fc.uint8Array({ maxLength: 60 }),
  payload: fc.integer({ min: 1, max: 30 }),
  /** The lies of the offer. */
  lies: fc.oneof(
    { weight: 5, arbitrary: fc.constant({}) },
    {
      weight: 1,
      arbitrary: fc.record({
        bytes: fc.constantFrom(2 ** 53 - 1, 2 ** 40),
        chunkBytes: fc.constantFrom(1, 2 ** 40),
      }),
    },
  ),
  schedule,
});

type Sum = typeof sums extends fc.Arbitrary<infer T> ? T : never;
type Blob = typeof blobs extends fc.Arbitrary<infer T> ? T : never;

export const FUZZER = defineFuzzer<Sum | Blob>({
  seed: 20_003,
  input: fc.oneof({ weight: 2, arbitrary: sums }, { weight: 1, arbitrary: blobs }),
  async check(input) {
    try {
      await (input.kind === "sum" ? sum(input) : pull(input));
    } catch (error) {
      checkRefusal(error, { causes: [RangeError] });
    }
  },
});

async function sum(input: Sum): Promise<void> {
  const { worldSize, floats, payload, gradients, dtype, steps, values, schedule } = input;
  const bus = new ChaoticBus(payload);
  const wire = { dtype, gradientBytes: 4 * Math.min(gradients, floats) };
  const shape = { worldSize, vectorBytes: 4 * floats, regions: 1, wire };
  const reducer = await NatsReducer.open(bus.link(), shape);
  const ranks = await Promise.all(Array.from({ length: worldSize }, async (_, rank) => {
    const buffers = hostVectors(shape);
    return {
      buffers,
      exchange: await NatsGradientExchange.open(bus.link(), { ...shape, rank, buffers }),
    };
  }));
  const turns = schedule.values();
  try {
    for (let step = 0; step < steps; step++) {
      const own = ranks.map((_, rank) => contribution(rank, step, 1 + 2 * rank, floats));
      const work = Promise.all([
        reducer.reduce({ epoch: 1, step }, () => "continue"),
        ...ranks.map(async ({ exchange, buffers }, rank) => {
          const small = Float64Array.from({ length: values }, (_, at) => rank + at);
          await exchange.allReduce(small);
          const total = worldSize * (worldSize - 1) / 2;
          const alone = worldSize === 1;
          assert.deepEqual(
            [...small],
            [...small].map((_, at) => alone ? rank + at : total + worldSize * at),
          );
          buffers.vector.host!.set(own[rank]!.vector);
          const { vector: _, ...facts } = own[rank]!;
          await exchange.reduceScatter(facts);
          const result = await exchange.agree(0);
          assert.equal(result.samples, own.reduce((all, { samples }) => all + samples, 0));
          await exchange.allGather();
          const host = buffers.reduced.host!;
          assert.deepEqual(new Float32Array(host.slice().buffer), reference(own, wire));
        }),
      ]);
      await bus.run(work, [...take(turns, 20)]);
    }
  } finally {
    await Promise.all(ranks.map(({ exchange }) => exchange.close()));
    await reducer.close();
  }
}

async function pull({ bytes, payload, lies, schedule }: Blob): Promise<void> {
  const bus = new ChaoticBus(payload);
  const [giver, taker] = await Promise.all(
    ["giver", "taker"].map(async (name) => await BlobTransfers.open(bus.link(), name)),
  );
  const offer = giver!.offer(bytes);
  try {
    const pulled = taker!.pull({ ...offer.transfer, ...lies });
    await bus.run(pulled, schedule);
    assert.deepEqual(await pulled, bytes);
  } finally {
    taker!.close();
    giver!.close();
  }
}

function* take<T>(items: Iterator<T>, count: number): Generator<T> {
  for (let i = 0; i < count; i++) {
    const { value, done } = items.next();
    if (done) return;
    yield value;
  }
}

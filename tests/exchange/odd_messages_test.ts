import assert from "node:assert/strict";
import { NatsGradientExchange } from "../../src/exchange/nats_exchange.ts";
import { NatsReducer } from "../../src/exchange/nats_reducer.ts";
import { hostVectors } from "../../src/exchange/step_buffers.ts";
import { BlobTransfers } from "../../src/protocol/blob_transfers.ts";
import { contribution } from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";

// A handler that throws ends the connection's reader: found by tests/fuzz/targets/chunks.ts.
Deno.test("an exchange over NATS passes over chunks that no vector has, and sums and values of another length", async () => {
  const bus = new LocalBus();
  const shape = { worldSize: 2, vectorBytes: 4 * 5, regions: 1 };
  const reducer = await NatsReducer.open(bus.link(), shape);
  const exchanges = await Promise.all(
    [0, 1].map((rank) =>
      NatsGradientExchange.open(bus.link(), { ...shape, rank, buffers: hostVectors(shape) })
    ),
  );
  const { publish, subjects } = bus.link();
  const small = [Float64Array.of(1, 2), Float64Array.of(10, 20)];
  const sums = exchanges.map((exchange, rank) => exchange.allReduce(small[rank]!));
  publish(subjects.sums, "sum", { round: 0 }, new Uint8Array(24));
  publish(subjects.sums, "sum", { round: 0 }, new Uint8Array(3));
  publish(subjects.values(0), "values", { rank: 0, round: 0 }, new Uint8Array(3));
  await Promise.all(sums);
  assert.deepEqual(small.map((values) => [...values]), [[11, 22], [11, 22]]);

  const decided = reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  const steps = exchanges.map((exchange, rank) => {
    const { vector: _, ...own } = contribution(rank, 0, 4, 5);
    return exchange.reduceScatter(own);
  });
  publish(subjects.reduced, "reduced", { epoch: 1, step: 0, chunk: 1000 }, new Uint8Array(20));
  const gradient = { rank: 0, epoch: 1, step: 0, chunk: 1000, tooLarge: false };
  publish(subjects.gradient(0), "gradient", gradient, new Uint8Array(20));
  await Promise.all(steps);
  assert.equal((await decided).samples, 8);
  await Promise.all(exchanges.map((exchange) => exchange.close()));
  await reducer.close();
});

Deno.test("BlobTransfers.pull() refuses a size that no memory has, naming who offers it", async () => {
  const transfers = await BlobTransfers.open(new LocalBus().link(), "taker");
  for (const [bytes, chunkBytes] of [[2 ** 53 - 1, 1], [2 ** 37, 2 ** 21]] as const) {
    const transfer = { id: "1", owner: "coordinator", bytes, chunkBytes };
    await assert.rejects(transfers.pull(transfer), {
      name: "LockstepError",
      message:
        `This process has no memory for the ${bytes} bytes that coordinator offers in pieces of ${chunkBytes}`,
    });
  }
  transfers.close();
});

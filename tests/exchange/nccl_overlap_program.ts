/**
 * Two ranks that offer a part of their vectors while the rest is computed: prints when the sums were made, and when the
 * rest was there, in milliseconds of one clock.
 *
 * @module
 */
import { delay } from "../../src/base/async.ts";
import { boardBytes, NoticeBoard } from "../../src/exchange/notice_board.ts";
import { openNccl } from "../../src/exchange/open_nccl.ts";
import { contribution, openBench, takeStep } from "../support/exchange_bench.ts";
import { fakeNcclDevice } from "../support/fake_cuda/rank_device.ts";
import { LocalBus } from "../support/local_link.ts";

const FLOATS = 40_000;
const BUCKET_FLOATS = 10_000;
const COMPUTING_MS = 1_000;
const [nvidia] = Deno.args as [string];

const bus = new LocalBus();
const links = { open: () => Promise.resolve(bus.link()) };
const now = () => performance.timeOrigin + performance.now();

await using bench = await openBench(links, "nccl", {
  worldSize: 3,
  vectorBytes: 4 * FLOATS,
  nccl: async ({ rank, worldSize, vectorBytes }, memory) => {
    const board = memory.subarray(memory.length - boardBytes(worldSize));
    const outcome = await openNccl({
      ...{ rank, worldSize, vectorBytes, bucketBytes: 4 * BUCKET_FLOATS },
      gradientFloats: FLOATS,
      device: fakeNcclDevice(rank, nvidia),
      board: new NoticeBoard(board, rank, worldSize),
    });
    if (!("parts" in outcome)) throw new Error(outcome.reason);
    return outcome.parts;
  },
});
const began = now();
const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
const ranks = bench.ranks.map(async (rank, index) => {
  // The last one has no rows, and issues the same sums at the end of its step.
  const own = contribution(index, 0, index === 2 ? 0 : 4, FLOATS);
  const { vector, ...counts } = own;
  const { buffers, exchange } = rank;
  const parts: number[] = [];
  if (index < 2) {
    for (const begin of [3 * BUCKET_FLOATS, 2 * BUCKET_FLOATS - 5]) {
      buffers.vector.host!.set(vector.subarray(4 * begin), 4 * begin);
      exchange.offer!(counts, begin);
      await delay(COMPUTING_MS);
      parts.push(now());
    }
  }
  await takeStep(rank, own);
  return parts;
});
const parts = (await Promise.all(ranks)).filter(({ length }) => length > 0);
await reduced;
console.log(JSON.stringify({ began, parts }));

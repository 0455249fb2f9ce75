/**
 * The contract of an all-reduce, over NCCL between fake GPUs of this process: tests for `deno test` on a fake machine.
 *
 * @module
 */
import { boardBytes, NoticeBoard } from "../../src/exchange/notice_board.ts";
import { openNccl } from "../../src/exchange/open_nccl.ts";
import { gradientFloats } from "../../src/exchange/step_buffers.ts";
import type { BenchOptions } from "../support/exchange_bench.ts";
import { fakeNcclDevice } from "../support/fake_cuda/rank_device.ts";
import { LocalBus } from "../support/local_link.ts";
import { type OpenLinks, testContract } from "./contract.ts";

const nvidia = Deno.env.get("FAKE_NVIDIA_FOLDER")!;

const openLinks: OpenLinks = () => {
  const bus = new LocalBus();
  return Promise.resolve({
    open: () => Promise.resolve(bus.link()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
};

/** Gives each rank a GPU of its own. */
function ncclWith(bucketBytes?: number): NonNullable<BenchOptions["nccl"]> {
  return async (shape, memory) => {
    const { rank, worldSize, vectorBytes } = shape;
    const board = memory.subarray(memory.length - boardBytes(worldSize));
    const outcome = await openNccl({
      ...{ rank, worldSize, vectorBytes, bucketBytes },
      gradientFloats: gradientFloats(shape),
      device: fakeNcclDevice(rank, nvidia),
      board: new NoticeBoard(board, rank, worldSize),
    });
    if (!("parts" in outcome)) throw new Error(outcome.reason);
    return outcome.parts;
  };
}

testContract("nccl", "whole sums", openLinks, { nccl: ncclWith() });
// Of a length that divides no vector of the contract.
testContract("nccl", "buckets", openLinks, { nccl: ncclWith(4 * 99_991) });

/**
 * Ranks of several hosts that compute on fake GPUs: tests for `deno test` on a fake machine.
 *
 * @module
 */
import assert from "node:assert/strict";
import { floatsOf } from "../../src/base/float_range.ts";
import { openEngine } from "../../src/engine/engine.ts";
import type { HostLink } from "../../src/exchange/host_link.ts";
import { HostsBoard } from "../../src/exchange/hosts_board.ts";
import { boardBytes, NoticeBoard } from "../../src/exchange/notice_board.ts";
import { openNccl } from "../../src/exchange/open_nccl.ts";
import { gradientFloats } from "../../src/exchange/step_buffers.ts";
import { type Bench, type BenchOptions, contribution } from "../support/exchange_bench.ts";
import { fakeNcclDevice } from "../support/fake_cuda/rank_device.ts";
import { compareHosts, FLOATS, openHost, stepOf } from "../support/host_steps.ts";
import { LocalHosts } from "../support/local_hosts.ts";

const nvidia = Deno.env.get("FAKE_NVIDIA_FOLDER")!;

/** Gives each rank a GPU of its own, and opens NCCL over all hosts. */
function nccl(
  hosts: readonly HostLink[] | undefined,
  bucketBytes?: number,
): NonNullable<BenchOptions["nccl"]> {
  return async (shape, memory) => {
    const { worldSize, vectorBytes } = shape;
    const board = new NoticeBoard(
      memory.subarray(memory.length - boardBytes(worldSize)),
      shape.rank,
      worldSize,
    );
    const link = hosts?.[shape.rank];
    const rank = (link?.firstRank ?? 0) + shape.rank;
    const outcome = await openNccl({
      ...{ rank, vectorBytes, bucketBytes },
      worldSize: link?.ranks.reduce((sum, count) => sum + count) ?? worldSize,
      gradientFloats: gradientFloats(shape),
      device: fakeNcclDevice(rank, nvidia),
      board: link ? new HostsBoard(board, link) : board,
    });
    if (!("parts" in outcome)) throw new Error(outcome.reason);
    return outcome.parts;
  };
}

async function openHosts(counts: readonly number[], openNccl?: typeof nccl) {
  const hosts = new LocalHosts(counts);
  await using stack = new AsyncDisposableStack();
  const benches: Bench[] = await Promise.all(counts.map(async (count, host) => {
    const links = hosts.linksOf(host);
    return stack.use(await openHost(count, links, openNccl?.(links)));
  }));
  const all = stack.move();
  return { benches, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Tells whether sums are the same but for the order of their terms. */
function isNear(sum: Uint8Array, expected: Uint8Array): boolean {
  const values = floatsOf(expected);
  return floatsOf(sum).every((value, at) => Math.abs(value - values[at]!) < 1e-5);
}

Deno.test("NCCL spans the ranks of several hosts", async () => {
  await using one = await openHost(4, undefined, nccl(undefined));
  await using rig = await openHosts([1, 3], nccl);
  await compareHosts(rig.benches, one, isNear);
});

Deno.test("ranks that offer parts of their vectors ask the other hosts for their counts once", async () => {
  await using rig = await openHosts([1, 1], (links) => nccl(links, 2 ** 20));
  const ranks = rig.benches.flatMap(({ ranks }) => ranks);
  for (let step = 0; step < 3; step++) {
    const own = ranks.map((_, rank) => contribution(rank, step, 1 + rank, FLOATS));
    // One of them has nothing to offer before its vector is whole.
    await ranks[0]!.buffers.vector.upload(own[0]!.vector);
    const { vector: _, ...counts } = own[0]!;
    ranks[0]!.exchange.offer!(counts, FLOATS >> 1);
    const results = await stepOf(rig.benches, own);
    assert.equal(results[0]!.weight, 3);
    assert.deepEqual(results[0]!.vector, results[1]!.vector);
  }
});

Deno.test("GPUs of several hosts, also alone on their hosts, sum through their hosts' memory", async () => {
  await using cpu = await openHost(4);
  await openEngine({ device: "gpu" });
  await using rig = await openHosts([2, 1, 1]);
  await compareHosts(rig.benches, cpu);
});

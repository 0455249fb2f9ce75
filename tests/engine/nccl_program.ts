/**
 * Ranks that sum over the fake NCCL. Each scenario prints what came of it as JSON.
 *
 * @module
 */
import { messageOf } from "../../src/base/errors.ts";
import { Nccl } from "../../src/engine/binding/nccl.ts";
import type { Communicator } from "../../src/engine/binding/nccl_communicator.ts";
import { NcclError } from "../../src/engine/binding/nccl_problems.ts";
import { RankDevice } from "../support/fake_cuda/rank_device.ts";

const [scenario, nvidia, first = "", second = ""] = Deno.args as [string, string, string?, string?];
const LIMITS = { timeoutMs: 60_000 };
const SHORT = { timeoutMs: 300 };

interface Rank {
  readonly gpu: RankDevice;
  readonly communicator: Communicator;
}

async function join(
  devices: readonly number[],
  limits: { timeoutMs: number; signal?: AbortSignal } = LIMITS,
): Promise<Rank[]> {
  const nccl = Nccl.open({ nvidia });
  const id = nccl.makeId();
  return await Promise.all(devices.map(async (device, rank) => {
    const gpu = new RankDevice(device);
    gpu.enter();
    const joining = nccl.join(id, { rank, worldSize: devices.length, ...limits });
    return { gpu, communicator: await joining };
  }));
}

/** A value that tells rank and place. */
const value = (rank: number, at: number) => 1000 * (rank + 1) + at % 7;

async function outcome(work: Promise<unknown>): Promise<unknown> {
  const begin = performance.now();
  const result = await work.then(
    () => ({ ok: true }),
    (error) => ({
      message: messageOf(error),
      failure: error instanceof NcclError ? error.failure : undefined,
    }),
  );
  return { ...result, ms: Math.round(performance.now() - begin) };
}

/** Sums vectors of one length over all ranks; returns each rank's result. */
async function sumOnce(ranks: readonly Rank[], floats: number, limits = LIMITS) {
  return await Promise.all(ranks.map(async ({ gpu, communicator }, rank) => {
    const memory = gpu.allocate(floats);
    memory.floats.forEach((_, at) => memory.floats[at] = value(rank, at));
    const { address } = memory;
    await communicator.allReduce([{ from: address, to: address, floats }], gpu.stream, limits);
    await communicator.completed(gpu.done(), "a sum", limits);
    return memory.floats;
  }));
}

const SCENARIOS: Record<string, () => Promise<unknown>> = {
  /** Groups of sums: apart and in place, with and without factors, longer than what is passed on at once. */
  async sums() {
    const ranks = await join([0, 1, 2]);
    const alone = Promise.withResolvers<void>();
    const sums = ranks.map(async ({ gpu, communicator }, rank) => {
      if (rank > 0) await alone.promise; // the first one's stream can't get there without them
      const floats = 600_001;
      const [from, to, small] = [gpu.allocate(floats), gpu.allocate(floats), gpu.allocate(5)];
      from.floats.forEach((_, at) => from.floats[at] = value(rank, at));
      small.floats.fill(rank === 1 ? -3 : 8);
      await communicator.allReduce(
        [
          { from: from.address, to: to.address, floats, factor: 2 ** -rank },
          { from: small.address, to: small.address, floats: 5 },
          { from: from.address + 4n, to: from.address + 4n, floats: 2, factor: 0 },
        ],
        gpu.stream,
        LIMITS,
      );
      const early = to.floats[0];
      alone.resolve();
      await communicator.completed(gpu.done(), "sums", LIMITS);
      const expected = (at: number) =>
        [0, 1, 2].reduce((sum, other) => sum + value(other, at) * 2 ** -other, 0);
      const wrong = to.floats.findIndex((is, at) => is !== expected(at));
      const result = { early, wrong, small: [...small.floats], from: [...from.floats.slice(0, 4)] };
      for (let i = 0; i < 100; i++) { // more operators than there are at a time
        const { address } = small;
        await communicator.allReduce(
          [{ from: address, to: address, floats: 5, factor: 1 / 4 }],
          gpu.stream,
          LIMITS,
        );
      }
      await communicator.completed(gpu.done(), "sums", LIMITS);
      await communicator.close();
      return result;
    });
    return { version: Nccl.open({ nvidia }).version, results: await Promise.all(sums) };
  },

  async joins() {
    const limits = first === "short" ? SHORT : LIMITS;
    return await outcome(join(second === "same" ? [0, 0] : [0, 1], limits));
  },

  /** A signal ends joining. */
  async signal() {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("told to end")), 100);
    return await outcome(join([0, 1], { ...LIMITS, signal: controller.signal }));
  },

  /** Sums until a fault shows, then what a rank says. */
  async fault() {
    const ranks = await join([0, 1]);
    const sums = [...(await sumOnce(ranks, 100))[0]!.slice(0, 2)];
    const second = await outcome(sumOnce(ranks, 100, SHORT));
    const after = await outcome(sumOnce(ranks, 100));
    return { sums, second, after };
  },

  /** An abort ends a sum for which the other rank brings nothing; the stream is done then. */
  async aborted() {
    const [{ gpu, communicator }] = await join([0, 1]) as [Rank, Rank];
    const { address } = gpu.allocate(100);
    await communicator.allReduce([{ from: address, to: address, floats: 100 }], gpu.stream, LIMITS);
    const waiting = outcome(communicator.completed(gpu.done(), "a sum", LIMITS));
    await communicator.abort(new Error("told to end"));
    return await waiting;
  },

  /** Ranks in processes of their own: the second one dies, the first one hears nothing of it but a signal. */
  async rank() {
    const [rank, path] = [Number(first), second];
    const nccl = Nccl.open({ nvidia });
    if (rank === 0) await Deno.writeFile(path, nccl.makeId());
    let id = new Uint8Array();
    while (id.length < 128) {
      id = await Deno.readFile(path).catch(() => id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const gpu = new RankDevice(rank);
    gpu.enter();
    const communicator = await nccl.join(id, { rank, worldSize: 2, ...LIMITS });
    const memory = gpu.allocate(1000);
    memory.floats.fill(rank + 1);
    const sum = [{ from: memory.address, to: memory.address, floats: 1000 }];
    await communicator.allReduce(sum, gpu.stream, LIMITS);
    await communicator.completed(gpu.done(), "a sum", LIMITS);
    if (rank === 1) Deno.kill(Deno.pid, "SIGKILL");
    const signal = AbortSignal.timeout(200);
    const lost = await outcome((async () => {
      await communicator.allReduce(sum, gpu.stream, LIMITS);
      await communicator.completed(gpu.done(), "a sum", { ...LIMITS, signal });
    })());
    return { first: memory.floats[0], lost };
  },
};

console.log(JSON.stringify(await SCENARIOS[scenario!]!()));

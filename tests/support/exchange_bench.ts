/**
 * A coordinator's and the ranks' ends of an exchange, in this process.
 *
 * @module
 */
import { delay } from "../../src/base/async.ts";
import { copyRange, type DeviceMemory } from "../../src/engine/device_memory.ts";
import type { FloatRange } from "../../src/base/float_range.ts";
import { randomStream } from "../../src/base/random.ts";
import { mapSharedSegment } from "../../src/base/shared_memory.ts";
import type { WireFormat } from "../../src/exchange/chunks.ts";
import type {
  GradientExchange,
  Reducer,
  StepContribution,
  StepResult,
} from "../../src/exchange/gradient_exchange.ts";
import type { HostLink } from "../../src/exchange/host_link.ts";
import { makeSegment, type OpenExchange } from "../../src/exchange/open_exchange.ts";
import { narrow, widen } from "../../src/exchange/narrow.ts";
import type { NcclParts } from "../../src/exchange/open_nccl.ts";
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import type { RankShape } from "../../src/exchange/step_buffers.ts";
import { weightedSum } from "../../src/exchange/weighted_sum.ts";
import type { GradientDtype } from "../../src/protocol/messages.ts";
import { TESTED_EXCHANGES, type TestedExchange } from "./exchanges.ts";

/** Values of a vector: 5.2 MB, which go over NATS as five chunks, the last one short. */
export const FLOATS = 1_300_001;
/** Bytes of a vector. */
export const BYTES = 4 * FLOATS;

/** Whatever opens links of one run. */
export interface Links<L extends ExchangeLink> {
  open(from: string): Promise<L>;
}

/** Both ends. */
export interface Bench<L extends ExchangeLink = ExchangeLink> extends AsyncDisposable {
  readonly reducer: Reducer;
  readonly ranks: readonly OpenExchange[];
  readonly exchanges: readonly GradientExchange[];
  readonly coordinator: L;
}

/** The shape of a bench. */
export interface BenchOptions {
  readonly worldSize: number;
  readonly vectorBytes?: number;
  readonly timeoutMs?: number;
  readonly wire?: WireFormat | undefined;
  readonly sumInRegion?: boolean;
  /** As in `SegmentShape`. */
  readonly maxWholeBytes?: number;
  /** The links of the ranks to other hosts. */
  readonly hosts?: readonly HostLink[];
  /** Opens a rank's NCCL; all ranks together. */
  readonly nccl?: (shape: RankShape, memory: Uint8Array<ArrayBuffer>) => Promise<NcclParts>;
}

/** Opens both ends. */
export async function openBench<L extends ExchangeLink>(
  links: Links<L>,
  name: TestedExchange,
  options: BenchOptions,
): Promise<Bench<L>> {
  const { worldSize, vectorBytes = BYTES, timeoutMs = 20_000 } = options;
  const { wire, sumInRegion, maxWholeBytes, hosts, nccl: openNccl } = options;
  const coordinator = await links.open("coordinator");
  const shape = {
    ...{ worldSize, vectorBytes, regions: 1, timeoutMs },
    ...(wire ? { wire } : {}),
    ...(maxWholeBytes === undefined ? {} : { maxWholeBytes }),
  };
  const definition = TESTED_EXCHANGES[name];
  using segment = name === "shared-memory" || name === "nccl"
    ? makeSegment(name, shape, (reason) => {
      throw new Error(reason);
    })
    : undefined;
  const { openReducer } = await definition.reducer();
  const { makeBuffers, openExchange } = await definition.rank();
  const map = () => segment && mapSharedSegment(segment.path, segment.bytes);
  const reducer = await openReducer(coordinator, shape, map());
  const openRank = async (rank: number): Promise<OpenExchange> => {
    const own = {
      ...shape,
      rank,
      ...(sumInRegion ? { sumInRegion } : {}),
      ...(hosts ? { hosts: hosts[rank]! } : {}),
    };
    const memory = map();
    const nccl = memory && await openNccl?.(own, memory);
    const buffers = makeBuffers(own, memory, nccl);
    const link = await links.open(`rank ${rank}`);
    const exchange = await openExchange(link, {
      ...{ ...own, buffers },
      ...(nccl ? { nccl } : {}),
    });
    return { exchange, buffers };
  };
  const ranks = await Promise.all(Array.from({ length: worldSize }, (_, rank) => openRank(rank)));
  const exchanges = ranks.map(({ exchange }) => exchange);
  return {
    reducer,
    ranks,
    exchanges,
    coordinator,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(exchanges.map((exchange) => exchange.close()));
      await reducer.close();
    },
  };
}

/** A contribution with its vector. */
export interface TestContribution extends StepContribution {
  readonly vector: Uint8Array;
  /** Parts in which the rank offers its vector, where its exchange takes some (default 1). */
  readonly parts?: number;
}

/** Makes a rank's contribution to a step: seeded values. */
export function contribution(rank: number, step: number, samples: number, floats = FLOATS) {
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
    times: { data: rank, forwardBackward: 2.5, exchange: step, update: 0.5 },
  } satisfies TestContribution;
}

/** A copy of a vector's values. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** Gradients of that dtype in front of a vector, whose last 40,001 values travel as float32. */
export function wireOf(dtype: GradientDtype, vectorBytes = BYTES): WireFormat {
  return { dtype, gradientBytes: vectorBytes - 4 * 40_001 };
}

/** The sum that all ranks must get: each rank's gradients narrowed, added in float32, and the sum narrowed. */
export function reference(
  contributions: readonly TestContribution[],
  wire?: WireFormat,
): Float32Array {
  const senders = contributions.filter(({ samples }) => samples > 0);
  const total = senders.reduce((sum, { samples }) => sum + samples, 0);
  const target = new Float32Array(contributions[0].vector.length / 4);
  weightedSum(
    target,
    senders.map(({ vector }) => rounded(floatsOf(vector), wire)),
    senders.map(({ samples }) => samples / total),
  );
  return rounded(target, wire);
}

/** Rounds a vector as its transfer does. */
function rounded(values: Float32Array, wire?: WireFormat): Float32Array {
  if (!wire || wire.dtype === "float32") return values;
  const gradients = values.subarray(0, wire.gradientBytes / 4);
  const narrowed = new Uint8Array(2 * gradients.length);
  narrow(narrowed, gradients, wire.dtype);
  widen(gradients, narrowed, wire.dtype);
  return values;
}

/** A rank's first half of a step: its vector in, the ranges of the sum out. */
export async function reduceScatter(
  { exchange, buffers }: OpenExchange,
  { vector, parts = 1, ...own }: TestContribution,
  signal?: AbortSignal,
): Promise<readonly FloatRange[]> {
  const target = buffers.vector.host;
  if (parts > 1 && exchange.offer && own.samples > 0 && target) {
    // As the backward pass does: from the end, while what is before is still something else.
    target.fill(0xff);
    const floats = vector.length / 4;
    for (let part = parts - 1; part >= 0; part--) {
      const begin = Math.floor(part * floats / parts);
      const end = Math.floor((part + 1) * floats / parts);
      target.set(vector.subarray(4 * begin, 4 * end), 4 * begin);
      if (part > 0) exchange.offer(own, begin);
      await delay(3);
    }
    return await exchange.reduceScatter(own, signal);
  }
  if (buffers.vector.host) buffers.vector.host.set(vector);
  else await write(buffers.vector, vector);
  return await exchange.reduceScatter(own, signal);
}

/**
 * A rank's step: the sum, which all ranks put into their common region.
 *
 * @param squares Makes what the rank brings of its ranges
 */
export async function takeStep(
  rank: OpenExchange,
  own: TestContribution,
  squares: (ranges: readonly FloatRange[]) => number = () => 0,
): Promise<StepResult & { vector: Uint8Array }> {
  const ranges = await reduceScatter(rank, own);
  const { exchange, buffers: { shard, reduced, regions: [{ current }] } } = rank;
  const result = await exchange.agree(squares(ranges));
  if (result.finite) {
    if (current.host) copyRange(reduced, current, shard);
    await exchange.allGather();
  }
  return { ...result, vector: await bytesOf(current.host ? current : reduced) };
}

/** Writes a vector, wherever it is. */
export async function write(memory: DeviceMemory, bytes: Uint8Array): Promise<void> {
  await memory.upload(bytes as Uint8Array<ArrayBuffer>);
}

/** A copy of a vector's bytes, wherever they are. */
export async function bytesOf(memory: DeviceMemory): Promise<Uint8Array<ArrayBuffer>> {
  if (memory.host) return memory.host.slice();
  const bytes = new Uint8Array(memory.byteLength);
  await memory.download(bytes);
  return bytes;
}

/** Takes one step: the coordinator's totals, then the ranks' results. */
export async function oneStep(
  bench: Bench,
  contributions: readonly TestContribution[],
  action: "continue" | "stop" = "continue",
) {
  const [{ epoch, step }] = contributions;
  return await Promise.all([
    bench.reducer.reduce({ epoch, step }, () => action),
    ...contributions.map((own, rank) => takeStep(bench.ranks[rank], own)),
  ]);
}

/**
 * A coordinator's and the ranks' ends of an exchange, in this process, over a real server.
 *
 * @module
 */
import { bytesIn } from "../../src/base/float_range.ts";
import { randomStream } from "../../src/base/random.ts";
import type { WireFormat } from "../../src/exchange/chunks.ts";
import type {
  GradientExchange,
  Reducer,
  StepContribution,
  StepResult,
} from "../../src/exchange/gradient_exchange.ts";
import {
  type ExchangeKind,
  makeSegment,
  openExchange,
  openReducer,
} from "../../src/exchange/open_exchange.ts";
import { narrow, widen } from "../../src/exchange/narrow.ts";
import { weightedSum } from "../../src/exchange/weighted_sum.ts";
import type { Link } from "../../src/protocol/link.ts";
import type { GradientDtype } from "../../src/protocol/messages.ts";
import type { Rig } from "./nats_server.ts";

/** Values of a vector: 5.2 MB, which go over NATS as five chunks, the last one short. */
export const FLOATS = 1_300_001;
/** Bytes of a vector. */
export const BYTES = 4 * FLOATS;

/** Both ends. */
export interface Bench extends AsyncDisposable {
  readonly reducer: Reducer;
  readonly exchanges: readonly GradientExchange[];
  readonly coordinator: Link;
}

/** Opens both ends. */
export async function openBench(
  rig: Pick<Rig, "open">,
  kind: ExchangeKind,
  worldSize: number,
  vectorBytes = BYTES,
  timeoutMs = 20_000,
  wire?: WireFormat,
): Promise<Bench> {
  const coordinator = await rig.open("coordinator");
  const shape = { worldSize, vectorBytes, regions: 1, timeoutMs, ...(wire ? { wire } : {}) };
  const segment = makeSegment(kind, shape, (reason) => {
    throw new Error(reason);
  });
  const reducer = await openReducer(coordinator, shape, segment);
  const exchanges: GradientExchange[] = [];
  for (let rank = 0; rank < worldSize; rank++) {
    const link = await rig.open(`rank ${rank}`);
    exchanges.push(await openExchange(link, { rank, ...shape }, segment));
  }
  segment?.[Symbol.dispose]();
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
  } satisfies StepContribution;
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
  contributions: readonly StepContribution[],
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

/** A rank's step: the sum, which all ranks put into their common region. */
export async function takeStep(
  exchange: GradientExchange,
  own: StepContribution,
): Promise<StepResult & { vector: Uint8Array }> {
  const result = await exchange.reduceScatter(own);
  const { shard, reduced, regions: [region] } = exchange;
  if (result.finite) {
    bytesIn(region, shard).set(bytesIn(reduced, shard));
    await exchange.allGather();
  }
  return { ...result, vector: region.slice() };
}

/** Takes one step: the coordinator's totals, then the ranks' results. */
export async function oneStep(bench: Bench, contributions: readonly StepContribution[]) {
  const [{ epoch, step }] = contributions;
  return await Promise.all([
    bench.reducer.reduce({ epoch, step }, () => "continue"),
    ...contributions.map((own, rank) => takeStep(bench.exchanges[rank], own)),
  ]);
}

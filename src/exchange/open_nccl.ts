/**
 * The ranks agree whether they sum by NCCL: they compare what each of them has, join, and try it with known
 * values. All of them come to the same result.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import type { Nccl } from "../engine/binding/nccl.ts";
import type { Communicator } from "../engine/binding/nccl_communicator.ts";
import { NcclError } from "../engine/binding/nccl_problems.ts";
import type { DeviceMemory } from "../engine/device_memory.ts";
import type { NcclDevice, SumStream } from "../engine/nccl_device.ts";
import { NcclSum } from "./nccl_sum.ts";
import { trySum } from "./nccl_trial.ts";
import type { Notices, RoundLimits } from "./notice_board.ts";
import { ExchangeError } from "./silence.ts";

/** The parts that a rank's exchange by NCCL is made of. */
export interface NcclParts extends Disposable {
  readonly device: NcclDevice;
  readonly communicator: Communicator;
  readonly sum: NcclSum;
  /** The stream of the sums, which the exchange ends. */
  readonly stream: SumStream;
  /** Sums begin before the vector is whole. */
  readonly sumsEarly: boolean;
  /** This rank's vector, and the memory of the sum. */
  readonly vector: DeviceMemory;
  readonly reduced: DeviceMemory;
}

/** The place of a rank and the shape of its sums. */
export interface NcclRequest {
  /** Among the ranks of all hosts, as their number is of all. */
  readonly rank: number;
  readonly worldSize: number;
  readonly vectorBytes: number;
  readonly gradientFloats: number;
  /** As in `NcclSumOptions`. */
  readonly bucketBytes?: number | undefined;
  /** Sum in one order on each machine. */
  readonly deterministic?: boolean;
  /** The rank's GPU; nothing where it computes on the CPU. */
  readonly device: NcclDevice | undefined;
  readonly board: Notices;
  readonly signal?: AbortSignal | undefined;
  readonly limits?: Partial<NcclLimits> | undefined;
}

/** Time limits in milliseconds. */
export interface NcclLimits {
  /** For the other ranks to come: their models are built, and kernels compiled, at different speeds. */
  readonly rankMs: number;
  /** For all ranks to join, which loads NCCL's kernels. */
  readonly joinMs: number;
  /** For a sum of known values. */
  readonly trialMs: number;
}

const LIMITS: NcclLimits = { rankMs: 1_800_000, joinMs: 90_000, trialMs: 30_000 };

const POLL_MS = 50;

/** The facts of a rank that the others need. */
interface RankFacts {
  /** The name of its GPU; null for the CPU. */
  readonly gpu: string | null;
  readonly version: string | null;
  readonly problem: string | null;
  /** The id by which the ranks join, in hexadecimal, from rank 0. */
  readonly id: string | null;
}

/** The result of all ranks: the parts, or the reason why there are none. */
export type NcclOutcome = { readonly parts: NcclParts } | {
  /** A phrase; nothing where all ranks compute on the CPU. */
  readonly reason: string | undefined;
};

/**
 * Opens NCCL on all ranks or on none; all call it together.
 *
 * @throws {LockstepError} when a rank doesn't come
 * @throws The signal's reason when it fires
 */
export async function openNccl(request: NcclRequest): Promise<NcclOutcome> {
  const { board, device, deterministic = false } = request;
  const limits = { ...LIMITS, ...request.limits };
  let nccl: Nccl | undefined;
  const facts = await factsOf(request, async () => nccl = await device!.open(deterministic));
  board.post(JSON.stringify(facts));
  const all = (await board.read(roundOf(request, limits.rankMs)))
    .map((text) => JSON.parse(text) as RankFacts);
  if (all.every(({ gpu }) => gpu === null)) return { reason: undefined };
  const obstacle = obstacleIn(all);
  if (obstacle !== undefined) return { reason: obstacle };
  return await joinAndTry(request, limits, nccl!, Uint8Array.fromHex(all[0]!.id!));
}

async function factsOf(
  { rank, device }: NcclRequest,
  open: () => Promise<Nccl>,
): Promise<RankFacts> {
  const none = { gpu: device?.uuid ?? null, version: null, problem: null, id: null };
  if (!device) return none;
  try {
    const nccl = await open();
    const id = rank === 0 ? nccl.makeId().toHex() : null;
    return { ...none, version: nccl.version, id };
  } catch (error) {
    return { ...none, problem: phraseOf(error) };
  }
}

/** The first fact that keeps these ranks from joining, as a phrase. */
function obstacleIn(all: readonly RankFacts[]): string | undefined {
  const cpu = all.findIndex(({ gpu }) => gpu === null);
  if (cpu >= 0) return `rank ${cpu} computes on the CPU`;
  const problem = all.find(({ problem }) => problem !== null)?.problem;
  if (problem) return problem;
  for (const [rank, { gpu }] of all.entries()) {
    const first = all.findIndex((other) => other.gpu === gpu);
    if (first < rank) {
      return `ranks ${first} and ${rank} share a GPU (${gpu}), which NCCL refuses: use as many workers as GPUs`;
    }
  }
  const other = all.findIndex(({ version }) => version !== all[0]!.version);
  return other < 0
    ? undefined
    : `rank 0 has NCCL ${all[0]!.version}, rank ${other} has ${all[other]!.version}`;
}

/** Joins the others and sums known values; all ranks tell each other what came of it. */
async function joinAndTry(
  request: NcclRequest,
  limits: NcclLimits,
  nccl: Nccl,
  id: Uint8Array<ArrayBuffer>,
): Promise<NcclOutcome> {
  const { board } = request;
  using opened = new DisposableStack();
  let parts: NcclParts | undefined;
  let problem = "";
  {
    using others = failureOfOthers(request);
    try {
      parts = opened.use(await join({ ...request, signal: others.signal }, limits, nccl, id));
      problem = await tryAll({ ...request, signal: others.signal }, limits, parts);
    } catch (error) {
      request.signal?.throwIfAborted();
      problem = phraseOf(error);
    }
  }
  board.post(problem);
  const time = limits.joinMs + 2 * limits.trialMs;
  const problems = await board.read(roundOf(request, 2 * time)).catch(async (error) => {
    await parts?.communicator.abort(error);
    throw error;
  });
  const reason = problems.find((one) => one !== "");
  if (reason === undefined) {
    opened.move();
    return { parts: parts! };
  }
  await parts?.communicator.abort();
  return { reason };
}

/** A signal that fires with the request's, and when another rank has failed: NCCL would wait for it. */
function failureOfOthers({ board, signal }: NcclRequest): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const timer = setInterval(() => {
    const problem = board.early().find((text) => text !== "");
    if (problem !== undefined) controller.abort(new LockstepError(problem));
  }, POLL_MS);
  return {
    signal: anySignal(controller.signal, signal),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

async function join(
  request: NcclRequest,
  { joinMs }: NcclLimits,
  nccl: Nccl,
  id: Uint8Array<ArrayBuffer>,
): Promise<NcclParts> {
  const { rank, worldSize, vectorBytes, gradientFloats, bucketBytes, signal } = request;
  const device = request.device!;
  using stack = new DisposableStack();
  const vector = stack.use(device.allocate(vectorBytes));
  const reduced = stack.use(device.allocate(vectorBytes));
  const stream = stack.use(device.stream());
  const communicator = await nccl.join(id, { rank, worldSize, signal, timeoutMs: joinMs });
  const sum = new NcclSum({
    ...{ communicator, stream, gradientFloats, bucketBytes },
    vector: vector.address,
    sum: reduced.address,
    floats: vectorBytes / Float32Array.BYTES_PER_ELEMENT,
  });
  const all = stack.move();
  return {
    ...{ device, communicator, sum, stream, vector, reduced },
    sumsEarly: bucketBytes !== undefined,
    [Symbol.dispose]: () => all.dispose(),
  };
}

/** @returns What is wrong with the sums, as a phrase; empty where they are right */
async function tryAll(
  { rank, worldSize, vectorBytes, gradientFloats, signal }: NcclRequest,
  { trialMs }: NcclLimits,
  { sum, vector, reduced }: NcclParts,
): Promise<string> {
  const options = { signal, timeoutMs: trialMs };
  const memory = { vector, sum: reduced, gradientFloats };
  const wrong = await trySum(sum, rank, worldSize, memory, options);
  const floats = vectorBytes / Float32Array.BYTES_PER_ELEMENT;
  return wrong === undefined
    ? ""
    : `NCCL summed ${floats} known values on rank ${rank}, and ${wrong}: switch off PCIe ACS in the BIOS, or set ` +
      "NCCL_P2P_DISABLE=1";
}

function roundOf({ rank, signal }: NcclRequest, timeoutMs: number): RoundLimits {
  return {
    signal,
    timeoutMs,
    silence: (missing) =>
      new ExchangeError(
        `Rank ${rank} waited ${Math.round(timeoutMs / 1000)} s for rank ${
          missing.join(", ")
        } to open its exchange`,
      ),
  };
}

function phraseOf(error: unknown): string {
  return error instanceof NcclError ? error.problem : messageOf(error);
}

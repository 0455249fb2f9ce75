/**
 * Chooses and opens a run's exchange, at either end.
 *
 * @module
 */
import { LockstepError, messageOf, UsageError } from "../base/errors.ts";
import {
  canShareMemory,
  createSharedSegment,
  mapSharedSegment,
  type SharedSegment,
} from "../base/shared_memory.ts";
import type { GradientExchange, Reducer } from "./gradient_exchange.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import { HostsBoard } from "./hosts_board.ts";
import { boardBytes, NoticeBoard } from "./notice_board.ts";
import { type NcclParts, type NcclRequest, openNccl } from "./open_nccl.ts";
import type { ReducerEndOptions } from "./reducer_end.ts";
import { type ExchangeChoice, type ExchangeName, EXCHANGES } from "./registry.ts";
import { segmentBytes } from "./shared_layout.ts";
import {
  type ExchangeShape,
  gradientFloats,
  type RankShape,
  type StepBuffers,
} from "./step_buffers.ts";

/** The place where workers find the shared memory of a run. */
export type ExchangeSegment = Pick<SharedSegment, "path" | "bytes">;

/**
 * Decides whether the ranks exchange through a segment that all of them have tried.
 *
 * @param problems By rank: the reason why the rank can't use the segment, or null
 * @returns `true` if they do; if not, `onFallback` was given the reason
 * @throws {LockstepError} when shared memory was asked for and a rank can't have it
 */
export function agreeOnSegment(
  kind: ExchangeChoice,
  problems: readonly (string | null)[],
  onFallback: (reason: string) => void,
): boolean {
  const rank = problems.findIndex((problem) => problem !== null);
  if (rank < 0) return true;
  const problem = `Rank ${rank} can't use the run's shared memory (${problems[rank]})`;
  if (kind !== "auto") {
    throw new LockstepError(
      `${problem}: set exchange to auto or nats, or start everything in one container`,
    );
  }
  onFallback(`${problem}: gradients go over NATS`);
  return false;
}

/**
 * Makes the memory that workers of this machine share.
 *
 * @param onFallback Told why `auto` goes over NATS where shared memory was expected to work
 * @returns Nothing when the vectors go over NATS
 * @throws {LockstepError} when shared memory was asked for and there is none
 */
export function makeSegment(
  kind: ExchangeChoice,
  shape: ExchangeShape,
  onFallback: (reason: string) => void,
): SharedSegment | undefined {
  if (kind === "nats" || (kind === "auto" && !canShareMemory())) return undefined;
  if (!canShareMemory()) {
    throw new LockstepError(
      `exchange is ${kind}, which works on Linux only: set exchange to auto or nats`,
    );
  }
  // By NCCL the ranks only meet in the memory; with auto they may still have to exchange through it.
  const contents = kind === "nccl" ? { ...shape, vectorBytes: 0, regions: 0 } : shape;
  try {
    return createSharedSegment("lockstep", segmentBytes(contents) + boardBytes(shape.worldSize));
  } catch (error) {
    if (kind !== "auto") {
      throw new LockstepError(`${messageOf(error)}: free some, or set exchange to nats`);
    }
    onFallback(`${messageOf(error)}: gradients go over NATS`);
    return undefined;
  }
}

/** Returns the exchange of a run: the ranks that have a segment use it. */
export function exchangeOf(segment: ExchangeSegment | undefined): ExchangeName {
  return segment ? "shared-memory" : "nats";
}

/** Opens the coordinator's end. */
export async function openReducer(
  link: ExchangeLink,
  options: ReducerEndOptions,
  segment: ExchangeSegment | undefined,
): Promise<Reducer> {
  const { openReducer } = await EXCHANGES[exchangeOf(segment)].reducer();
  return await openReducer(link, options, segment && mapSharedSegment(segment.path, segment.bytes));
}

/** A worker's end, and the memory that it works on. */
export interface OpenExchange {
  readonly exchange: GradientExchange;
  readonly buffers: StepBuffers;
}

/** A worker's end, and how it came to be. */
export interface ChosenExchange extends OpenExchange {
  readonly name: ExchangeName;
  /** The reason why it isn't what `auto` would have preferred, as a sentence. */
  readonly fallback?: string;
}

/** A rank's wish for NCCL, as its config and its device give it. */
export interface NcclWish
  extends Pick<NcclRequest, "device" | "bucketBytes" | "deterministic" | "signal" | "limits"> {
  /** The config's key `exchange`. */
  readonly kind: ExchangeChoice;
}

/**
 * Opens a worker's end, and makes the memory of its steps. Ranks that may have NCCL agree on it: all ranks call this
 * together then.
 *
 * @param options The rank and the number of ranks are those of this host
 * @param wish Missing where no rank wants NCCL
 * @throws {LockstepError} when the memory can't be mapped, or NCCL was asked for and can't be had
 * @throws The signal's reason when it fires
 */
export async function openExchange(
  link: ExchangeLink,
  options: RankShape & Pick<RankEndOptions, "timeoutMs" | "sumTimeoutMs" | "hangs">,
  segment: ExchangeSegment | undefined,
  wish?: NcclWish,
): Promise<ChosenExchange> {
  const { hosts } = options;
  if (hosts && !segment) {
    throw new LockstepError(
      "Ranks that sum with those of other hosts share memory on their own host, and there is none: " +
        "set exchange to auto or shared-memory",
    );
  }
  // The hosts sum part by part: nobody makes the whole sum.
  const shape = hosts ? { ...options, maxWholeBytes: 0 } : options;
  const memory = segment && mapSharedSegment(segment.path, segment.bytes);
  const { nccl, fallback } = memory && wish
    ? await agreeOnNccl(shape, memory, wish)
    : { nccl: undefined, fallback: undefined };
  const name = nccl ? "nccl" : exchangeOf(segment);
  const { makeBuffers, openExchange } = await EXCHANGES[name].rank();
  const buffers = makeBuffers(shape, memory, nccl);
  const exchange = await openExchange(link, { ...shape, buffers, ...(nccl ? { nccl } : {}) });
  return { exchange, buffers, name, ...(fallback === undefined ? {} : { fallback }) };
}

async function agreeOnNccl(
  shape: RankShape,
  memory: Uint8Array<ArrayBuffer>,
  { kind, ...wish }: NcclWish,
): Promise<{ nccl?: NcclParts | undefined; fallback?: string | undefined }> {
  const { rank, worldSize, vectorBytes, hosts } = shape;
  const isWanted = kind === "nccl" || (kind === "auto" && (worldSize > 1 || hosts));
  if (!isWanted) return {};
  const memoryOfBoard = memory.subarray(memory.length - boardBytes(worldSize));
  const board = new NoticeBoard(memoryOfBoard, rank, worldSize);
  const outcome = await openNccl({
    ...{ vectorBytes, ...wish },
    rank: (hosts?.firstRank ?? 0) + rank,
    worldSize: hosts?.ranks.reduce((sum, count) => sum + count, 0) ?? worldSize,
    gradientFloats: gradientFloats(shape),
    board: hosts ? new HostsBoard(board, hosts) : board,
  });
  if ("parts" in outcome) return { nccl: outcome.parts };
  const { reason } = outcome;
  if (kind === "nccl") {
    throw new UsageError(
      `exchange is nccl, but ${
        reason ?? "no rank computes on a GPU"
      }: set exchange to auto or shared-memory`,
    );
  }
  return {
    fallback: reason &&
      `NCCL can't be used (${reason}): gradients go through shared memory` +
        (hosts ? " and over NATS between hosts" : ""),
  };
}

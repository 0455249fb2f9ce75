/**
 * Chooses and opens a run's exchange, at either end.
 *
 * @module
 */
import { LockstepError, messageOf } from "../base/errors.ts";
import {
  canShareMemory,
  createSharedSegment,
  mapSharedSegment,
  type SharedSegment,
} from "../base/shared_memory.ts";
import type { GradientExchange, Reducer } from "./gradient_exchange.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import type { ReducerEndOptions } from "./reducer_end.ts";
import { type ExchangeChoice, type ExchangeName, EXCHANGES } from "./registry.ts";
import { segmentBytes } from "./shared_layout.ts";
import type { ExchangeShape, RankShape, StepBuffers } from "./step_buffers.ts";

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
      "exchange is shared-memory, which works on Linux only: set exchange to auto or nats",
    );
  }
  try {
    return createSharedSegment("lockstep", segmentBytes(shape));
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

/**
 * Opens a worker's end, and makes the memory of its steps.
 *
 * @throws {LockstepError} when the memory can't be mapped
 */
export async function openExchange(
  link: ExchangeLink,
  shape: RankShape & Pick<RankEndOptions, "timeoutMs" | "hangs" | "hosts">,
  segment: ExchangeSegment | undefined,
): Promise<OpenExchange> {
  const { makeBuffers, openExchange } = await EXCHANGES[exchangeOf(segment)].rank();
  const memory = segment && mapSharedSegment(segment.path, segment.bytes);
  const buffers = makeBuffers(shape, memory);
  return { exchange: await openExchange(link, { ...shape, buffers }), buffers };
}

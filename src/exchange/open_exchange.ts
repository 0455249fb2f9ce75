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
import type { Link } from "../protocol/link.ts";
import type { WireFormat } from "./chunks.ts";
import type { GradientExchange, Reducer } from "./gradient_exchange.ts";
import { NatsGradientExchange } from "./nats_exchange.ts";
import { NatsReducer } from "./nats_reducer.ts";
import { SharedGradientExchange } from "./shared_exchange.ts";
import { segmentBytes, type SegmentShape } from "./shared_layout.ts";
import { SharedReducer } from "./shared_reducer.ts";

/** The ways in which gradients may travel. */
export type ExchangeKind = "auto" | "shared-memory" | "nats";

/** The shape of a run's exchange: its vectors, its world size and the format of the gradients. */
export interface ExchangeShape extends SegmentShape {
  /** The format of the gradients over NATS; float32 unless given. */
  readonly wire?: WireFormat;
}

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
  kind: ExchangeKind,
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
  kind: ExchangeKind,
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

/**
 * Opens the coordinator's end.
 *
 * @param describe Describes a rank's last activity, as a sentence, for the error when the rank keeps silent
 */
export function openReducer(
  link: Link,
  shape: ExchangeShape,
  segment: ExchangeSegment | undefined,
  describe: (rank: number) => string | undefined = () => undefined,
): Promise<Reducer> {
  const options = { ...shape, describe };
  return segment ? SharedReducer.open(link, options) : NatsReducer.open(link, options);
}

/**
 * Opens a worker's end.
 *
 * @throws {LockstepError} when the memory can't be mapped
 */
export function openExchange(
  link: Link,
  shape: ExchangeShape & { readonly rank: number },
  place: ExchangeSegment | undefined,
): Promise<GradientExchange> {
  if (!place) return NatsGradientExchange.open(link, shape);
  const segment = mapSharedSegment(place.path, place.bytes);
  return SharedGradientExchange.open(link, { ...shape, segment });
}

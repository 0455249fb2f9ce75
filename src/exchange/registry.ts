/**
 * The exchanges that there are: each is a file for the worker's end and one for the coordinator's, and a line here.
 *
 * @module
 */
import type { GradientExchange, Reducer } from "./gradient_exchange.ts";
import type { NcclParts } from "./open_nccl.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import type { ReducerEndOptions } from "./reducer_end.ts";
import type { RankShape, StepBuffers } from "./step_buffers.ts";

/** The exports of a worker's end. */
export interface RankModule {
  /** Makes a rank's buffers: in the run's shared memory, or on the GPU, where the exchange has some. */
  makeBuffers(
    shape: RankShape,
    segment: Uint8Array<ArrayBuffer> | undefined,
    nccl: NcclParts | undefined,
  ): StepBuffers;
  openExchange(link: ExchangeLink, options: RankEndOptions): Promise<GradientExchange>;
}

/** The exports of a coordinator's end, which gets the run's shared memory where there is some. */
export interface ReducerModule {
  openReducer(
    link: ExchangeLink,
    options: ReducerEndOptions,
    segment: Uint8Array<ArrayBuffer> | undefined,
  ): Promise<Reducer>;
}

/** The two ends of an exchange. They are loaded when they are needed, as the config reads this registry too. */
export interface ExchangeDefinition {
  readonly rank: () => Promise<RankModule>;
  readonly reducer: () => Promise<ReducerModule>;
}

/** All exchanges by their names in the config. */
export const EXCHANGES = {
  "nccl": {
    rank: () => import("./nccl_exchange.ts"),
    // The ranks meet in shared memory: the coordinator sees no difference.
    reducer: () => import("./shared_reducer.ts"),
  },
  "shared-memory": {
    rank: () => import("./shared_exchange.ts"),
    reducer: () => import("./shared_reducer.ts"),
  },
  "nats": {
    rank: () => import("./nats_exchange.ts"),
    reducer: () => import("./nats_reducer.ts"),
  },
} as const satisfies Record<string, ExchangeDefinition>;

/** Name of an exchange. */
export type ExchangeName = keyof typeof EXCHANGES;

/** The exchanges' names. */
export const EXCHANGE_NAMES = Object.keys(EXCHANGES) as [ExchangeName, ...ExchangeName[]];

/**
 * The values of the config key `exchange`: `auto` takes NCCL where all ranks have GPUs of their own and it sums known
 * values, else shared memory where there is any, else NATS.
 */
export const EXCHANGE_CHOICES = ["auto", ...EXCHANGE_NAMES] as const;

/** A value of the config key `exchange`. */
export type ExchangeChoice = (typeof EXCHANGE_CHOICES)[number];

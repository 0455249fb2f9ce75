/**
 * Schemas of the commands by which workers become the ranks of a generation.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

const count = z.int().nonnegative();

/** Steps of an epoch. */
const epochSteps = z.strictObject({ epoch: count, steps: count });

/** Steps of an epoch. */
export type EpochSteps = z.output<typeof epochSteps>;

/** The steps that a worker's state is to hold, where it may hold one more; null where the ranks weren't training. */
const stepsToHold = epochSteps.nullable();

/** A nats-server, as a host reaches it. */
const serverSchema = z.strictObject({ url: z.string(), fingerprint: z.string().optional() });

/** The hosts of a generation's ranks, in order. */
const hostsSchema = z.strictObject({
  names: z.array(z.string()),
  /** Number of the ranks of each. */
  ranks: z.array(z.int().positive()),
  /** The data server of each, as each of them reaches it: by the host that connects, then by that of the server. */
  servers: z.array(z.array(serverSchema)),
  /** Seed of the nkey of the ranks at these servers. */
  nkey: z.string(),
});

/** As of {@linkcode openExchangeSchema}. */
export type ExchangingHosts = z.output<typeof hostsSchema>;

/** Arguments of `openExchange`. */
export const openExchangeSchema = z.strictObject({
  /** Of the ranks, counted from 0. */
  generation: count,
  worldSize: z.int().positive(),
  /** The workers' ranks in this generation, by those with which they joined. */
  ranks: z.record(z.string().regex(/^\d+$/), count),
  /** By host: the memory in which its ranks exchange their vectors; null where they exchange over NATS. */
  segments: z.array(z.strictObject({ path: z.string(), bytes: count })).nullable(),
  /** The hosts, where there are several and each has memory of its own; null otherwise. */
  hosts: hostsSchema.nullable(),
  hold: stepsToHold,
  /** The most rows that a worker computes at once from now on, where memory is short for its share of a step. */
  mostRows: z.int().positive().optional(),
});

/** Arguments of `loadState`: the steps that the state holds; null where the ranks weren't training. */
export const loadStateSchema = epochSteps.nullable();

/** Answer to `pause`. */
export const pausedSchema = z.strictObject({
  /** Tells whether the worker has a state. */
  hasState: z.boolean(),
  /** The steps that it holds of the epoch of the last command that trains; null before that. */
  held: epochSteps.nullable(),
});

/** Arguments of `readState`. */
export const readStateSchema = z.strictObject({ hold: stepsToHold });

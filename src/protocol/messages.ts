/**
 * Every message of the protocol as a strict zod schema. A message is an envelope (versions, the sender, the message's
 * number, the kind) plus the kind's own fields, followed by bytes for the kinds that carry any.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { stepTimesShape } from "../base/step_times.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import type { MessageNumber } from "./authentication.ts";
import { STEP_PHASES } from "./step_phases.ts";

/** Version of the messages; raised whenever a message changes its meaning or its fields. */
export const PROTOCOL_VERSION = 8;

/** The dtypes in which gradients may travel; all other values are float32. */
export const GRADIENT_DTYPES = ["float32", "float16", "bfloat16"] as const;
/** The dtype in which gradients travel. */
export type GradientDtype = (typeof GRADIENT_DTYPES)[number];

/**
 * The cause of a worker's failure: `input`, which would fail again in any process; the `exchange` with the other ranks,
 * of which this one is whole; or the `process` itself.
 */
export const BLAMES = ["input", "exchange", "process"] as const;
/** The cause of a worker's failure. */
export type Blame = (typeof BLAMES)[number];

const count = z.int().nonnegative();

/** A number that may be NaN or infinite, which JSON cannot hold: those travel as strings. */
const wireNumber = z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])]);

/** Returns a number in the form of {@linkcode wireNumber} fields. */
export function toWireNumber(value: number): number | "NaN" | "Infinity" | "-Infinity" {
  return Number.isFinite(value) ? value : String(value) as "NaN" | "Infinity" | "-Infinity";
}

const position = { epoch: count, step: count };

const transferSchema = z.strictObject({
  /** Name of the transfer, unique at its owner. */
  id: z.string().min(1),
  /** Name of the end that offers it. */
  owner: z.string().regex(/^[\w-]{1,80}$/),
  bytes: count,
  chunkBytes: z.int().positive(),
});

/** Describes bytes that a process offers for pulling. */
export type Transfer = z.output<typeof transferSchema>;

const totals = {
  samples: count,
  weight: z.number().nonnegative(),
  lossSum: wireNumber,
  correct: count,
  /** Samples that count in the running statistics of BatchNorm. */
  statisticsRows: count,
  /** Forward passes whose statistics count: of a rank, or the most of any rank. */
  trackedBatches: count,
};

/** The place of shared memory that every worker has tried with success. */
const segmentSchema = z.strictObject({ path: z.string(), bytes: count });

/** The ways of a vector between neighbouring hosts: to the next host, and back. */
export const HOST_WAYS = ["sums", "totals"] as const;
/** A way of a vector between neighbouring hosts. */
export type HostWay = (typeof HOST_WAYS)[number];

/** The things that all hosts bring together. */
export const HOST_ROUNDS = ["contributions", "results", "values", "texts"] as const;
/** A kind of things that all hosts bring together. */
export type HostRound = (typeof HOST_ROUNDS)[number];

/** A way, and the sender of a message about it: a host, and the rank among the host's own. */
const hostEnd = { way: z.enum(HOST_WAYS), host: count, rank: count };

/** Milliseconds of the parts of a rank's step. */
const timesSchema = z.strictObject(stepTimesShape);

/** The kinds' own fields. */
const KINDS = {
  /** Worker → coordinator, repeated until it is answered. */
  join: {
    instance: z.uuid(),
    /** Number that the coordinator gave to a worker that it started itself, else null. */
    index: count.nullable(),
    pid: count,
    host: z.string(),
    /** Number of the worker's machine among the hosts of the run; 0 unless given. */
    hostIndex: count.optional(),
    /**
     * The reason why the worker can't use the shared memory that the coordinator named; null if it can, or if
     * none was named.
     */
    segmentProblem: z.string().max(1000).nullable(),
  },
  /** Coordinator → worker: may not join, and why. */
  refusal: { reason: z.string() },
  /** Coordinator → worker: its rank, and everything that it needs. */
  welcome: {
    rank: count,
    worldSize: z.int().positive(),
    /** Number of the ranks' present membership, counted from 0. */
    generation: count,
    /** The run's job, of which the protocol knows nothing but that it is JSON. */
    job: z.json(),
    /** Bytes at the payload's end that are the job, as JSON; 0 when the job is in the header. */
    jobBytes: count,
    /** Memory in which the ranks exchange their vectors; null where they exchange none, or do so over NATS. */
    segment: segmentSchema.nullable(),
    /** Memory in which the workers share decoded images, when they do. */
    cache: segmentSchema.nullable(),
    payload: transferSchema.nullable(),
  },
  /** Coordinator and workers, each second. */
  heartbeat: {
    ...position,
    activity: z.string(),
    /** Part of the step or batch. */
    phase: z.enum(STEP_PHASES),
    /** Sample that the data module has been making for the longest time; null when it makes none. */
    sample: count.nullable(),
    /** Memory of the process that is in RAM. */
    residentBytes: count,
    /** Messages that the process got and didn't accept. */
    refused: count.optional(),
  },
  /**
   * Worker → coordinator: the header of the chunks that follow. `bytes` is the length of the vector, of which
   * the first `narrowBytes` travel as `dtype` and the rest as float32.
   */
  contribution: {
    rank: count,
    ...position,
    ...totals,
    /**
     * Durations of this step so far, and of `exchange` and `update` of the step before; null when not
     * measured.
     */
    times: timesSchema.nullable(),
    /** A number for the bits of the rank's replica, in steps in which replicas are compared. */
    digest: count.optional(),
    bytes: count,
    chunkBytes: count,
    dtype: z.enum(GRADIENT_DTYPES),
    narrowBytes: count,
  },
  /**
   * Worker → coordinator; payload: one chunk of the rank's vector. `tooLarge`: a finite value of it became infinite
   * in the dtype that it travels in.
   */
  gradient: { rank: count, ...position, chunk: count, tooLarge: z.boolean() },
  /** Coordinator → workers; payload: one chunk of the reduced vector. */
  reduced: { ...position, chunk: count },
  /** Coordinator → workers: the step is decided; applies to the whole reduced vector. */
  result: {
    ...position,
    ...totals,
    action: z.enum(["continue", "stop"]),
    finite: z.boolean(),
  },
  /** Worker → coordinator, repeated until its sum comes; payload: a small vector of float64 values. */
  values: { rank: count, round: count },
  /** Coordinator → workers; payload: the sum of all ranks' vectors, float64. */
  sum: { round: count },
  /** Worker → coordinator, repeated until it is noted: samples of a step that the rank leaves out, or a part of them. */
  skippedSamples: {
    rank: count,
    ...position,
    part: count,
    samples: z.array(z.strictObject({ index: count, path: z.string(), reason: z.string() })),
  },
  /** Worker → coordinator, once: where a step of the rank ceases to be finite, of which the protocol knows nothing. */
  nonFinite: { rank: count, ...position, report: z.json() },
  /** Coordinator → worker: a part of its skipped samples is noted. */
  noted: { ...position, part: count },
  /** Either way: send these chunks (and the closing or opening message) of the step again. */
  missing: { rank: count, ...position, chunks: z.array(count), totals: z.boolean() },
  /**
   * Rank → rank of a neighbouring host; payload: a part of the sum over the hosts before (`sums`), or of the sum over
   * all (`totals`); none where no rank has a share in it. `part` counts the messages of this way from this sender to
   * this receiver.
   */
  hostPart: {
    ...hostEnd,
    part: count,
    begin: count,
    floats: count,
    dtype: z.enum(GRADIENT_DTYPES),
    isEmpty: z.boolean(),
  },
  /**
   * The receiver's answer: the parts before `taken` are used, and those in `missing` are to be sent again. With `asks`
   * the receiver waits, and is answered by `hostProbe`.
   */
  hostAck: { ...hostEnd, taken: count, missing: z.array(count), asks: z.boolean() },
  /** The sender has sent the parts before `sent`; on the parts' connection, so that none of them is still on its way. */
  hostProbe: { ...hostEnd, sent: count },
  /** A host's first rank → the first host's first rank, repeated until it is answered; payload: the host's part. */
  hostShare: { round: z.enum(HOST_ROUNDS), index: count, host: count },
  /** The first host's first rank → the ranks of a host; payload: the parts of all hosts, one after the other. */
  hostShares: { round: z.enum(HOST_ROUNDS), index: count, lengths: z.array(count) },
  /** Rank → its host's first rank: the parts of all hosts didn't come. */
  hostSharesWanted: { round: z.enum(HOST_ROUNDS), index: count },
  /**
   * Coordinator → workers, repeated until every one has replied. It ends the command before it, if that is still
   * carried out.
   */
  command: {
    id: count,
    name: z.string(),
    /** The workers that it is for, by the ranks with which they joined; null for all. */
    workers: z.array(count).nullable(),
    args: z.json(),
    payload: transferSchema.nullable(),
  },
  /** Worker → coordinator: the outcome of a command. */
  reply: {
    id: count,
    /** The rank with which the worker joined: it may have another one by now. */
    worker: count,
    error: z.string().nullable(),
    /** The cause of the error; null without one. */
    blame: z.enum(BLAMES).nullable(),
    result: z.json(),
    /** Bytes at the payload's end that are the result, as JSON; 0 when the result is in the header. */
    resultBytes: count,
    payload: transferSchema.nullable(),
  },
  /** Agent → coordinator, repeated until it is answered by `hostWelcome` or `refusal`: a host wants to join. */
  hostJoin: { instance: z.uuid(), facts: z.json() },
  /** Coordinator → agent: its host belongs to the run; `settings` is all that it needs. */
  hostWelcome: { instance: z.uuid(), settings: z.json() },
  /** Coordinator ↔ agent: a part of a conversation, of which the protocol knows nothing but its order. */
  hostPacket: {
    session: z.uuid(),
    /** Number among this end's bodies, from 1; 0 without a body. */
    packet: count,
    /** Number of the other end's last body that has arrived, all before it included. */
    acknowledged: count,
    body: z.json(),
  },
  /** Asks the owner of a transfer for one piece. */
  pull: { id: z.string(), chunk: count, to: z.string().regex(/^[\w-]{1,80}$/) },
  /** Payload: one piece of a transfer. */
  piece: { id: z.string(), owner: z.string(), chunk: count },
} as const satisfies Record<string, z.ZodRawShape & { readonly [Name in keyof Envelope]?: never }>;

/** Tells whether there is such a kind of message. */
export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

/** Name of a kind of message. */
export type Kind = keyof typeof KINDS;
/** The own fields of a kind of message. */
export type Fields<K extends Kind> = z.output<z.ZodObject<(typeof KINDS)[K], z.core.$strict>>;

const envelopeShape = {
  protocol: z.int(),
  lockstep: z.string().max(100),
  /** `coordinator`, `rank <n>`, or `worker <instance>` before it has a rank. */
  from: z.string().min(1).max(100),
  kind: z.string().max(100),
  /** Name of the link that the message was published on, and the message's number there. */
  link: z.string().min(1).max(40),
  number: z.int().positive(),
  /** CRC-32 of the payload. */
  crc: z.int().nonnegative(),
  /** Tag that authenticates the payload; null on a server that lets the run's processes in alone. */
  tag: z.string().max(40).nullable(),
};

const envelopeSchema = z.looseObject(envelopeShape);

/** The fields that every message begins with, whatever its kind and version. */
export type Envelope = z.output<z.ZodObject<typeof envelopeShape, z.core.$strict>>;

/** A checked header: envelope and own fields. */
export type Header<K extends Kind> = Envelope & Fields<K>;

// Built once: making a schema costs more than using it.
const SCHEMAS = Object.fromEntries(
  Object.entries(KINDS).map(([kind, fields]) => [
    kind,
    z.strictObject({ ...envelopeShape, kind: z.literal(kind), ...fields }),
  ]),
) as unknown as Record<Kind, z.ZodType>;

/** Fills in the envelope around a kind's fields. */
export function makeHeader<K extends Kind>(
  sender: MessageNumber & { readonly from: string },
  kind: K,
  fields: Fields<K>,
  { crc, tag }: Pick<Envelope, "crc" | "tag">,
): Header<K> {
  const envelope = {
    protocol: PROTOCOL_VERSION,
    lockstep: LOCKSTEP_VERSION,
    from: sender.from,
    kind,
    link: sender.link,
    number: sender.number,
    crc,
    tag,
  };
  return { ...envelope, ...fields };
}

/** The envelope of a parsed header, or `undefined` when it has none. */
export function parseEnvelope(json: unknown): Envelope | undefined {
  return envelopeSchema.safeParse(json).data;
}

/**
 * Checks a header of this protocol version against its kind.
 *
 * @returns The header, or a sentence that describes the problem with it
 */
export function parseHeader<K extends Kind>(kind: K, json: unknown): Header<K> | string {
  const parsed = SCHEMAS[kind].safeParse(json);
  if (parsed.success) return parsed.data as Header<K>;
  const [issue] = parsed.error.issues;
  if (!issue) return parsed.error.message;
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`;
}

/**
 * Explains why a message of another version is refused; returns `undefined` if the message is of this
 * version.
 */
export function versionMismatch(envelope: Envelope): string | undefined {
  if (envelope.protocol !== PROTOCOL_VERSION) {
    return `${envelope.from} speaks protocol ${envelope.protocol}, the coordinator ` +
      `${PROTOCOL_VERSION}: install the same Lockstep on every machine`;
  }
  if (envelope.lockstep !== LOCKSTEP_VERSION) {
    return `${envelope.from} is Lockstep ${envelope.lockstep}, the coordinator ` +
      `${LOCKSTEP_VERSION}: install the same Lockstep on every machine`;
  }
}

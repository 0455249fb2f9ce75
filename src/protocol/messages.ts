/**
 * Every message of the protocol as a strict zod schema. A message is an envelope (versions, the run's token,
 * the sender, the kind) plus the kind's own fields, followed by bytes for the kinds that carry any.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { stepTimesShape } from "../base/step_times.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { STEP_PHASES } from "./step_phases.ts";

/** Version of the messages; raised whenever a message changes its meaning or its fields. */
export const PROTOCOL_VERSION = 6;

/** The dtypes in which gradients may travel; all other values are float32. */
export const GRADIENT_DTYPES = ["float32", "float16", "bfloat16"] as const;
/** The dtype in which gradients travel. */
export type GradientDtype = (typeof GRADIENT_DTYPES)[number];

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

/** A weight per rank; null for a rank whose values don't count. */

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
  /** Either way: send these chunks (and the closing or opening message) of the step again. */
  missing: { rank: count, ...position, chunks: z.array(count), totals: z.boolean() },
  /** Coordinator → workers, repeated until every one has replied. */
  command: { id: count, name: z.string(), args: z.json(), payload: transferSchema.nullable() },
  /** Worker → coordinator: the outcome of a command. */
  reply: {
    id: count,
    rank: count,
    error: z.string().nullable(),
    result: z.json(),
    /** Bytes at the payload's end that are the result, as JSON; 0 when the result is in the header. */
    resultBytes: count,
    payload: transferSchema.nullable(),
  },
  /** Asks the owner of a transfer for one piece. */
  pull: { id: z.string(), chunk: count, to: z.string().regex(/^[\w-]{1,80}$/) },
  /** Payload: one piece of a transfer. */
  piece: { id: z.string(), owner: z.string(), chunk: count },
} as const satisfies Record<string, z.ZodRawShape>;

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
  token: z.string().max(200),
  /** `coordinator`, `rank <n>`, or `worker <instance>` before it has a rank. */
  from: z.string().min(1).max(100),
  kind: z.string().max(100),
  /** CRC-32 of the payload. */
  crc: z.int().nonnegative(),
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
  sender: { token: string; from: string },
  kind: K,
  fields: Fields<K>,
  crc: number,
): Header<K> {
  const envelope = {
    protocol: PROTOCOL_VERSION,
    lockstep: LOCKSTEP_VERSION,
    token: sender.token,
    from: sender.from,
    kind,
    crc,
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

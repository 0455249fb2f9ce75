/**
 * The calls and notices between the coordinator and the agents of other hosts.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { computeDeviceSchema } from "../base/compute_device.ts";
import { credentialsSchema } from "../protocol/credentials.ts";
import { EXCHANGE_CHOICES } from "../exchange/registry.ts";
import { GRADIENT_DTYPES } from "../protocol/messages.ts";

const count = z.int().nonnegative();

/** The facts with which an agent asks to join. */
export const hostFactsSchema = z.strictObject({
  hostname: z.string().max(300),
  pid: count,
  /** The number among the hosts that it would have; the next free one where it is null. */
  index: z.int().positive().nullable(),
});
/** As of {@linkcode hostFactsSchema}. */
export type HostFacts = z.output<typeof hostFactsSchema>;

/** The settings that an agent gets when it has joined. */
export const hostSettingsSchema = z.strictObject({
  index: z.int().positive(),
  run: z.strictObject({ runId: z.string(), key: z.string() }),
  /** Names the conversation. */
  session: z.uuid(),
  /** The workers' credentials at the coordinator's server, unless they are those of the agent. */
  workerCredentials: credentialsSchema.optional(),
  /** Seconds of silence after which one end counts the other as lost. */
  lostAfter: z.number().positive(),
  reconnectTimeout: z.number().positive(),
});
/** As of {@linkcode hostSettingsSchema}. */
export type HostSettings = z.output<typeof hostSettingsSchema>;

const segmentSchema = z.strictObject({ path: z.string(), bytes: count, mark: z.string() });
const shapeSchema = z.strictObject({
  worldSize: z.int().positive(),
  vectorBytes: count,
  regions: count.optional(),
  maxWholeBytes: count.optional(),
  wire: z.strictObject({ dtype: z.enum(GRADIENT_DTYPES), gradientBytes: count }).optional(),
});

/** A server that other hosts are to reach: the addresses to try, and its certificate's fingerprint where it uses TLS. */
export const reachableSchema = z.strictObject({
  name: z.string(),
  addresses: z.array(z.string()),
  port: z.int(),
  fingerprint: z.string().optional(),
});
/** As of {@linkcode reachableSchema}. */
export type ReachableServer = z.output<typeof reachableSchema>;

/** The outcome of an attempt to reach a server. */
export const reachedSchema = z.union([
  z.strictObject({ url: z.string(), rttMs: z.number(), bytesPerSecond: z.number() }),
  z.strictObject({ problem: z.string() }),
]);
/** As of {@linkcode reachedSchema}. */
export type Reached = z.output<typeof reachedSchema>;

/** Arguments and results of the coordinator's calls, by name. */
export const HOST_CALLS = {
  /** Decides the devices of the host's workers, and fetches what they need. */
  prepare: {
    args: z.strictObject({
      device: z.enum(["auto", "cpu", "gpu"]),
      workers: z.int().positive(),
      threadsPerWorker: z.int().positive().nullable(),
      /** Lets GPUs be used that other runs of the host hold. */
      shareGpus: z.boolean().optional(),
    }),
    result: z.strictObject({
      devices: z.array(computeDeviceSchema),
      warnings: z.array(z.string()),
    }),
  },
  /** A part of the packed list of the run's images. */
  manifestPart: { args: z.strictObject({ begin: count, part: z.base64() }), result: z.null() },
  /** Compares images and modules with the coordinator's, or fetches the images: see `agent/agent_data.ts`. */
  prepareData: {
    args: z.strictObject({ config: z.json(), modules: z.json(), source: z.json() }),
    result: z.null(),
  },
  /** Starts the host's data server; the nkey is that of the ranks. */
  startServer: { args: z.strictObject({ nkey: z.string() }), result: reachableSchema },
  /** Tries to reach other hosts' data servers. */
  probe: {
    args: z.strictObject({ nkey: z.string(), servers: z.array(reachableSchema) }),
    result: z.array(reachedSchema),
  },
  /** Makes memory for the ranks of the host, of which later calls speak by its number. */
  makeSegment: {
    args: z.strictObject({
      number: count,
      kind: z.enum(EXCHANGE_CHOICES),
      shape: shapeSchema.required({ regions: true }),
    }),
    result: z.strictObject({
      segment: segmentSchema.nullable(),
      fallback: z.string().nullable(),
    }),
  },
  /** Opens the meeting of the ranks in a segment; `meeting` numbers it among all of the host. */
  openMeeting: {
    args: z.strictObject({ meeting: count, segment: count, shape: shapeSchema }),
    result: z.null(),
  },
  /** Starts workers, by their indices among all of the run. */
  start: {
    args: z.strictObject({
      indices: z.array(count),
      segment: count.nullable(),
      isComeback: z.boolean(),
      devices: z.array(computeDeviceSchema),
      /** Addresses of other hosts that the workers may connect to. */
      peers: z.array(z.string()),
    }),
    result: z.array(z.strictObject({ index: count, id: z.string(), pid: count })),
  },
  /** Kills workers, and waits until they have ended. */
  reap: { args: z.strictObject({ ids: z.array(z.string()) }), result: z.null() },
  /** Ends all workers. */
  stop: { args: z.strictObject({ graceMs: z.number() }), result: z.null() },
} as const;

/** The end of a run, as a host is told. */
export type RunEnd = z.output<(typeof COORDINATOR_NOTICES)["end"]>;

/** Name of a call. */
export type HostCall = keyof typeof HOST_CALLS;

/** Notices of the coordinator, by name. */
export const COORDINATOR_NOTICES = {
  grant: z.strictObject({ meeting: count, action: z.enum(["continue", "stop"]) }),
  closeMeeting: z.strictObject({ meeting: count }),
  dropSegment: z.strictObject({ segment: count, release: z.boolean() }),
  /** The run is over for this host. */
  end: z.strictObject({
    /** The failure, where it ends by one. */
    reason: z.string().nullable(),
    /** True where the failure is one of what the user has given. */
    isUsage: z.boolean(),
    /** True where it starts again, so that the host is to join anew. */
    again: z.boolean(),
  }),
} as const;

/** Notices of an agent, by name. */
export const AGENT_NOTICES = {
  line: z.strictObject({ id: z.string(), index: count, line: z.string() }),
  exit: z.strictObject({
    id: z.string(),
    code: z.int(),
    signal: z.string().nullable(),
    memory: z.strictObject({ limits: z.array(z.string()), killed: z.boolean() }).nullable(),
  }),
  contributed: z.strictObject({ meeting: count, index: count }),
  /** `records`: the numbers of the ranks' records, little-endian, in base64. */
  summed: z.strictObject({
    meeting: count,
    index: count,
    floats: z.array(count),
    records: z.base64(),
  }),
  meetingFailed: z.strictObject({ meeting: count, reason: z.string() }),
  /** The agent ends, and its workers with it. */
  leaving: z.strictObject({ reason: z.string() }),
} as const;

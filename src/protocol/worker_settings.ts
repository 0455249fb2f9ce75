/**
 * The settings that the coordinator passes to a worker process as it starts the process: one line of JSON on
 * the worker's standard input, where no other user can see the secrets.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { computeDeviceSchema } from "../base/compute_device.ts";
import type { SegmentPlace } from "../base/shared_memory.ts";
import { credentialsSchema } from "./credentials.ts";

const schema = z.strictObject({
  runId: z.string(),
  /** The key of the run's messages. */
  key: z.string(),
  nats: z.strictObject({
    url: z.string(),
    credentials: credentialsSchema.optional(),
    ca: z.string().optional(),
    tlsName: z.string().optional(),
    fingerprint: z.string().optional(),
    own: z.boolean().optional(),
    prefix: z.string().optional(),
  }),
  /** Number of the process among those that this coordinator started: becomes its rank. */
  index: z.int().nonnegative().nullable(),
  /** Number of the worker's machine among the hosts of the run; 0 unless given. */
  hostIndex: z.int().nonnegative().optional(),
  /** Threads that the worker may use. */
  threads: z.int().positive(),
  /** The device that the worker computes on, and the only one that it opens. */
  device: computeDeviceSchema,
  /** True for a worker in the place of one that was lost: its device has been opened before. */
  isReplacement: z.boolean().optional(),
  /** The parts of the job that are others on the worker's machine, such as the folder of the images. */
  jobHere: z.record(z.string(), z.json()).optional(),
  /** The libtensorflow that the worker opens; that of the environment or the cache unless given. */
  libraryPath: z.string().optional(),
  /** Seconds without a heartbeat of the coordinator after which the worker ends. */
  lostAfter: z.number().positive(),
  /** Seconds for which the coordinator waits for a lost server. */
  reconnectTimeout: z.number().positive(),
  /** Shared memory of the run, for the worker to try before it joins. */
  segments: z.array(
    z.strictObject({ path: z.string(), bytes: z.int().nonnegative(), mark: z.string() }),
  ),
});

/** Settings of a worker process. */
export type WorkerSettings = z.output<typeof schema>;

/** The memory that workers of one machine share, as far as each of them has tried it with success. */
export interface SharedMemory {
  /** Memory in which the ranks exchange their vectors. */
  readonly segment?: SegmentPlace;
  /** Memory in which the workers share decoded images. */
  readonly cache?: SegmentPlace;
}

/**
 * Reads the line that the coordinator wrote.
 *
 * @throws {TypeError} When it is something else
 */
export function parseWorkerSettings(line: string): WorkerSettings {
  const parsed = schema.safeParse(tryParse(line));
  if (!parsed.success) throw new TypeError(`Not a worker's settings: ${parsed.error.message}`);
  return parsed.data;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

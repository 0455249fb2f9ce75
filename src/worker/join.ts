/**
 * Joins a worker to a run.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { LockstepError, messageOf } from "../base/errors.ts";
import { trySharedSegment } from "../base/shared_memory.ts";
import type { Json } from "../protocol/large_json.ts";
import { askToJoin } from "../protocol/joining.ts";
import { Link } from "../protocol/link.ts";
import { unpackJson } from "../protocol/large_json.ts";
import type { Header } from "../protocol/messages.ts";
import { BlobTransfers } from "../protocol/blob_transfers.ts";
import { WORKER_WAITS_LONGER } from "../protocol/server_loss.ts";
import type { SharedMemory, WorkerSettings } from "../protocol/worker_settings.ts";

/** A worker's place in a run. */
export interface Membership extends SharedMemory {
  readonly link: Link;
  readonly transfers: BlobTransfers;
  readonly rank: number;
  readonly worldSize: number;
  /** Number of the ranks' present membership. */
  readonly generation: number;
  /** The job that the coordinator sends to all workers. */
  readonly job: Json;
  /** Bytes that came with it. */
  readonly payload?: Uint8Array<ArrayBuffer>;
}

/**
 * Connects, asks to join until the coordinator answers, and takes over what it sends.
 *
 * @param joinTimeout Seconds to wait for the answer, which comes when all workers are here
 * @throws {LockstepError} When the server does not answer, or the coordinator refuses or keeps silent
 * @throws The signal's reason when it fires
 */
export async function joinRun(
  settings: WorkerSettings,
  joinTimeout: number,
  signal?: AbortSignal,
): Promise<Membership> {
  const instance = randomUUID();
  const link = await Link.openPatiently(settings.nats, settings, `worker ${instance}`, {
    signal,
    reconnectMs: 1000 * (settings.reconnectTimeout + WORKER_WAITS_LONGER),
  });
  try {
    const fields = {
      instance,
      index: settings.index,
      pid: Deno.pid,
      host: hostname(),
      hostIndex: settings.hostIndex ?? 0,
      segmentProblem: problemWithSegment(settings),
    };
    const ends = anySignal(link.failed, signal);
    const welcome = await askToJoin<Header<"welcome">>(link, {
      listen: (answer) =>
        link.subscribe(link.subjects.welcome(instance), {
          welcome: ({ header }) => answer.finish(header),
          refusal: ({ header }) => answer.fail(new LockstepError(header.reason)),
        }),
      ask: () => link.publish(link.subjects.join, "join", fields),
      signal: ends,
      timeout: {
        ms: 1000 * joinTimeout,
        makeError: () =>
          new LockstepError(`No welcome from the coordinator within ${joinTimeout} s`),
      },
    });
    link.from = `rank ${welcome.rank}`;
    const transfers = await BlobTransfers.open(link, instance);
    const bytes = welcome.payload ? await transfers.pull(welcome.payload, ends) : undefined;
    const { rank, worldSize, generation, jobBytes, segment, cache } = welcome;
    const { value: job, payload } = unpackJson(welcome.job, jobBytes, bytes);
    return {
      ...{ link, transfers, rank, worldSize, generation, job },
      ...(segment ? { segment } : {}),
      ...(cache ? { cache } : {}),
      ...(payload ? { payload } : {}),
    };
  } catch (error) {
    await link.close();
    throw error;
  }
}

/** Returns the reason why this process can't use the run's shared memory; null when it can, or there is none. */
function problemWithSegment({ segments }: WorkerSettings): string | null {
  try {
    segments.forEach(trySharedSegment);
    return null;
  } catch (error) {
    return messageOf(error).slice(0, 1_000);
  }
}

/**
 * Joins a worker to a run.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { LockstepError, messageOf } from "../base/errors.ts";
import { Pending } from "../base/pending.ts";
import { trySharedSegment } from "../base/shared_memory.ts";
import type { Json } from "../protocol/large_json.ts";
import { Link } from "../protocol/link.ts";
import type { Fields, Header } from "../protocol/messages.ts";
import { unpackJson } from "../protocol/large_json.ts";
import { BlobTransfers } from "../protocol/blob_transfers.ts";
import type { SharedMemory, WorkerSettings } from "../protocol/worker_settings.ts";

/** A worker's place in a run. */
export interface Membership extends SharedMemory {
  readonly link: Link;
  readonly transfers: BlobTransfers;
  readonly rank: number;
  readonly worldSize: number;
  /** The job that the coordinator sends to all workers. */
  readonly job: Json;
  /** Bytes that came with it. */
  readonly payload?: Uint8Array<ArrayBuffer>;
}

const REPEAT_MS = 1_000;

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
    ...(signal ? { signal } : {}),
  });
  try {
    const fields = {
      instance,
      index: settings.index,
      pid: Deno.pid,
      host: hostname(),
      segmentProblem: problemWithSegment(settings),
    };
    const ends = AbortSignal.any([link.failed, ...(signal ? [signal] : [])]);
    const welcome = await askToJoin(link, fields, joinTimeout, ends);
    link.from = `rank ${welcome.rank}`;
    const transfers = await BlobTransfers.open(link, instance);
    const bytes = welcome.payload ? await transfers.pull(welcome.payload, ends) : undefined;
    const { rank, worldSize, jobBytes, segment, cache } = welcome;
    const { value: job, payload } = unpackJson(welcome.job, jobBytes, bytes);
    return {
      ...{ link, transfers, rank, worldSize, job },
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

async function askToJoin(
  link: Link,
  fields: Fields<"join">,
  joinTimeout: number,
  signal: AbortSignal,
): Promise<Header<"welcome">> {
  signal.throwIfAborted();
  const answer = new Pending<Header<"welcome">>();
  const subscription = link.subscribe(link.subjects.welcome(fields.instance), {
    welcome: ({ header }) => answer.finish(header),
    refusal: ({ header }) => answer.fail(new LockstepError(header.reason)),
  });
  const ask = () => link.publish(link.subjects.join, "join", fields);
  const repeat = setInterval(ask, REPEAT_MS);
  const makeError = () =>
    new LockstepError(`No welcome from the coordinator within ${joinTimeout} s`);
  try {
    await link.flush();
    ask();
    return await answer.result({ signal, timeout: { ms: 1000 * joinTimeout, makeError } });
  } finally {
    clearInterval(repeat);
    subscription.unsubscribe();
  }
}

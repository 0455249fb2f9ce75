/**
 * Tries to reach a nats-server of another host at its addresses, and measures the way to it.
 *
 * @module
 */
import { isIP } from "node:net";
import type { NatsConnection } from "../deps/nats.ts";
import { within } from "../base/async.ts";
import { messageOf } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { UnreachableError } from "../protocol/connect_failure.ts";
import { connectNats } from "../protocol/connection.ts";
import type { Credentials } from "../protocol/credentials.ts";

/** A server of another host. */
export interface ProbedServer {
  /** Names or IP addresses at which it may be reached, the likeliest first. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Fingerprint of its certificate; it speaks no TLS without one. */
  readonly fingerprint?: string | undefined;
  readonly credentials: Credentials;
}

/** The way to a server. */
export interface ProbeResult {
  readonly url: string;
  /** Milliseconds from a message to its answer, the least of some. */
  readonly rttMs: number;
  /** Bytes that reach the server in a second. */
  readonly bytesPerSecond: number;
}

/** Times of a probe, for tests. */
export interface ProbeOptions {
  /** Milliseconds for the connection to each address (5000 unless given). */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5_000;
/** Milliseconds for the measurements at an address. */
const MEASURE_MS = 10_000;
const ROUND_TRIPS = 5;
/** Bytes of a message, of the first batch, and of the largest. */
const MESSAGE_BYTES = 64 * 1024;
const MAX_BATCH_BYTES = 32 * 1024 * 1024;
/** Milliseconds that a batch must take, besides the round trip, to be a measurement. */
const MIN_BATCH_MS = 100;
/** Batches of the size that is large enough, of which the fastest counts. */
const BATCHES = 3;
/** An address is better than one before it only if it is faster by this factor. */
const CLEARLY_FASTER = 1.25;
/** Subject without a subscriber, for messages that are measured. */
const SUBJECT = "lockstep.hosts.probe";

/**
 * Connects to a server at all of its addresses at once, and measures those that answer. The first of them is the result,
 * unless another one is clearly faster.
 *
 * @returns The way to the server; or the problem of each address, as the end of a sentence
 */
export async function probeServer(
  server: ProbedServer,
  { timeoutMs = TIMEOUT_MS }: ProbeOptions = {},
): Promise<ProbeResult | { readonly problem: string }> {
  const { addresses, port } = server;
  if (addresses.length === 0) return { problem: "it has no address" };
  const attempts = await Promise.all(
    addresses.map(async (address) => {
      const place = `${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
      return { place, outcome: await connected(place, server, timeoutMs) };
    }),
  );
  let best: ProbeResult | undefined;
  const problems: { place: string; problem: string }[] = [];
  // One after the other: measurements at the same time would share a network.
  for (const { place, outcome } of attempts) {
    if (typeof outcome === "string") {
      problems.push({ place, problem: outcome });
      continue;
    }
    try {
      const measuring = measured(outcome, urlOf(place, server));
      const found = await within(measuring, MEASURE_MS, () => new Error("too slow to be measured"));
      const isBetter = !best || found.bytesPerSecond > CLEARLY_FASTER * best.bytesPerSecond;
      if (isBetter) best = found;
    } catch (error) {
      problems.push({
        place,
        problem: `${place}: it was lost in the measurement (${messageOf(error)})`,
      });
    } finally {
      await outcome.close().catch(() => {}); // it was lost
    }
  }
  return best ?? { problem: described(problems, port) };
}

/** A connection, or the problem. */
async function connected(
  place: string,
  server: ProbedServer,
  timeoutMs: number,
): Promise<NatsConnection | string> {
  const { credentials, fingerprint } = server;
  const address = {
    url: urlOf(place, server),
    own: true,
    credentials,
    ...given("fingerprint", fingerprint),
  };
  try {
    return await connectNats(address, { name: "lockstep probe", timeoutMs });
  } catch (error) {
    return error instanceof UnreachableError ? `${place}: ${error.reason}` : messageOf(error);
  }
}

function urlOf(place: string, { fingerprint }: ProbedServer): string {
  return `${fingerprint === undefined ? "nats" : "tls"}://${place}`;
}

async function measured(connection: NatsConnection, url: string): Promise<ProbeResult> {
  let rttMs = Infinity;
  for (let time = 0; time < ROUND_TRIPS; time++) {
    rttMs = Math.min(rttMs, await timeOf(() => connection.flush()));
  }
  const message = new Uint8Array(MESSAGE_BYTES);
  const msOf = async (bytes: number) =>
    await timeOf(() => {
      for (let sent = 0; sent < bytes; sent += MESSAGE_BYTES) connection.publish(SUBJECT, message);
      return connection.flush();
    }) - rttMs;
  let bytes = MESSAGE_BYTES;
  let ms = await msOf(bytes);
  while (ms < MIN_BATCH_MS && bytes < MAX_BATCH_BYTES) ms = await msOf(bytes *= 2);
  // The machine may have been busy with something else.
  for (let time = 1; time < BATCHES; time++) ms = Math.min(ms, await msOf(bytes));
  return { url, rttMs, bytesPerSecond: bytes / Math.max(ms, Number.EPSILON) * 1000 };
}

async function timeOf(action: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await action();
  return performance.now() - begin;
}

/** Joins the problems of addresses, with a remedy where the way is the problem. */
function described(
  problems: readonly { readonly place: string; readonly problem: string }[],
  port: number,
): string {
  const all = problems.map(({ problem }) => problem).join("; ");
  const isAway = problems.every(({ place, problem }) => problem.startsWith(`${place}: `));
  return isAway
    ? `${all}. Let port ${port} through the firewalls, or name an address of that host that others reach ` +
      "(hosts.address; --address of deno task worker)"
    : all;
}

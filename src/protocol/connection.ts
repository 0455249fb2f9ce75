/**
 * Connections to a nats-server, with every failure turned into one clear sentence.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import {
  NatsConnectionImpl,
  setTransportFactory,
  type TransportFactory,
} from "../deps/nats_core.ts";
import type { NatsConnection } from "../deps/nats.ts";
import { within } from "../base/async.ts";
import { given } from "../base/given.ts";
import { type NatsAddress, parseAddress } from "./address.ts";
import { connectFailure, ServerRefusalError } from "./connect_failure.ts";
import { connectionOptions } from "./credentials.ts";
import { Handshake, type RecordedOptions } from "./handshake.ts";
import { OutgoingBuffer, SendMemory } from "./send_memory.ts";
import { MIN_MAX_PAYLOAD, payloadTooSmall } from "./server_trouble.ts";
import { DenoTransport } from "./transport.ts";

/** Settings of a connection. */
export interface ConnectOptions {
  /** Shown in the server's list of clients. */
  readonly name: string;
  /** Milliseconds for the first connection (5000 unless set). */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 5_000;
const RECONNECT_WAIT_MS = 250;

const sendMemory = new SendMemory();

/** The client's way of connecting to a server. */
const TRANSPORT: TransportFactory = {
  factory: () => new DenoTransport(sendMemory),
  dnsResolveFn: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
};

/**
 * Connects to a nats-server.
 *
 * If the server goes away later, the client tries to reconnect until the connection is closed. The bytes that a
 * subscription's callback gets are valid until the callback returns: copy those that are to be kept.
 *
 * @throws {UsageError} When the URL is not a server's
 * @throws {ServerRefusalError} When it is reached and can't be used: credentials, TLS, limits, messages that are too
 *   small, or no nats-server
 * @throws {LockstepError} When the server does not answer
 */
export async function connectNats(
  address: NatsAddress,
  options: ConnectOptions,
): Promise<NatsConnection> {
  const { server, tls, credentials } = parseAddress(address);
  const timeout = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  setTransportFactory(TRANSPORT); // each time: the client's own connect() sets another
  const handshake = new Handshake();
  let attempt: Promise<NatsConnection> | undefined;
  try {
    const own: RecordedOptions = {
      servers: server,
      name: options.name,
      ...connectionOptions(credentials),
      ...(address.plain
        ? { tls: null }
        : tls || address.ca || address.fingerprint
        ? { tls: address.ca ? { ca: address.ca } : {} }
        : {}),
      ...given("tlsName", address.tlsName),
      ...given("fingerprint", address.fingerprint),
      timeout,
      reconnect: true,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: 0,
      maxReconnectAttempts: -1, // without end
      // A run's messages are addressed to the run: other servers of a cluster may be out of reach.
      ignoreClusterUpdates: true,
      handshake,
    };
    attempt = NatsConnectionImpl.connect(own);
    // The client's own timeout doesn't cover a server that accepts and then says nothing.
    const connection = await within(attempt, timeout + 500, () => new Error("timeout"));
    sendFromLentMemory(connection as NatsConnectionImpl);
    const most = connection.info?.max_payload ?? MIN_MAX_PAYLOAD;
    if (most < MIN_MAX_PAYLOAD) throw payloadTooSmall(server, most);
    return connection;
  } catch (error) {
    attempt?.then((late) => late.close(), () => {}); // a connection made after all must not stay
    if (error instanceof ServerRefusalError) throw error;
    throw connectFailure(address, handshake, timeout, error);
  }
}

/** Has the client join the bytes that it sends in memory that is reused. */
function sendFromLentMemory({ protocol }: NatsConnectionImpl): void {
  const outgoing = new OutgoingBuffer(sendMemory);
  for (const part of protocol.outbound.buffers) outgoing.fill(part);
  protocol.outbound = outgoing;
}

/**
 * Tries a server before a run depends on it: each operation of a run is done once, on subjects of no run.
 *
 * @module
 */
import type { NatsConnection } from "../deps/nats.ts";
import { delay, within } from "../base/async.ts";
import { LockstepError } from "../base/errors.ts";
import { errors } from "../deps/nats_core.ts";
import { type NatsAddress, parseAddress } from "./address.ts";
import { connectNats } from "./connection.ts";
import { announcedCertificate } from "./fingerprint.ts";
import { rightsMissing, serverTrouble } from "./server_trouble.ts";
import { makeRunIdentity, Subjects } from "./subjects.ts";

/** A server as it runs. */
export interface ServerFacts {
  /** `host:port`, as it was reached. */
  readonly address: string;
  /** Only where it was given one. */
  readonly name?: string;
  readonly version: string;
  /** True if Lockstep started the server. */
  readonly own: boolean;
  /** Bytes of the largest message. */
  readonly maxPayload: number;
  /** True if the connection is encrypted. */
  readonly tls: boolean;
}

const DEFAULT_TIMEOUT_MS = 3_000;
const CHECK_MS = 5_000;

/**
 * Makes sure that a server answers, lets us in, and lets us do what a run does there.
 *
 * @param timeoutMs Milliseconds for the connection (3000 unless given)
 * @throws {UsageError} When the URL is not a server's
 * @throws {LockstepError} When it doesn't, naming the cure
 */
export async function checkServer(
  address: NatsAddress,
  timeoutMs: number = DEFAULT_TIMEOUT_MS,
): Promise<ServerFacts> {
  const connection = await connectNats(address, { name: "lockstep check", timeoutMs });
  try {
    await tryRights(connection, address);
    return serverFacts(connection, address);
  } finally {
    await connection.close();
  }
}

/** Returns the facts that the server states about itself. */
export function serverFacts(connection: NatsConnection, address: NatsAddress): ServerFacts {
  const info = connection.info;
  const isNamed = address.own !== true && info?.server_name !== info?.server_id &&
    announcedCertificate(info?.server_name) === undefined;
  const name = isNamed ? info?.server_name : undefined;
  return {
    address: parseAddress(address).server,
    ...(name ? { name } : {}),
    version: info?.version ?? "unknown",
    own: address.own === true,
    maxPayload: info?.max_payload ?? 0,
    tls: info?.tls_required === true || (info?.tls_available === true),
  };
}

/** Subscribes and publishes as coordinator and workers do. */
async function tryRights(connection: NatsConnection, address: NatsAddress): Promise<void> {
  const { runId } = makeRunIdentity("check");
  const subjects = new Subjects(runId, { prefix: address.prefix });
  const refused: Error[] = [];
  void collect(connection, refused);
  for (const each of [subjects.ofCoordinator("check", 0), subjects.ofWorker("check", 0)]) {
    const subscriptions = each.listening.map((subject) =>
      connection.subscribe(subject, { callback: () => {} })
    );
    for (const subject of each.speaking) connection.publish(subject);
    await answered(connection, address);
    for (const subscription of subscriptions) subscription.unsubscribe();
  }
  await answered(connection, address);
  await delay(0); // lets the client report what the server said before
  const rights = refused.filter((error) => error instanceof errors.PermissionViolationError);
  if (rights.length > 0) {
    const anyRun = rights.map(({ operation, subject }) => ({
      operation,
      subject: subject.replace(runId, "*"),
    }));
    throw rightsMissing(anyRun, address);
  }
  for (const error of refused) {
    const trouble = serverTrouble(error, address);
    if (trouble) throw trouble;
  }
}

async function collect(connection: NatsConnection, refused: Error[]): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "error") refused.push(status.error);
  }
}

async function answered(connection: NatsConnection, address: NatsAddress): Promise<void> {
  const { server } = parseAddress(address);
  const failure = (reason: string) =>
    new LockstepError(
      `The nats-server at ${server} ${reason} when Lockstep tried what a run does there: look into the server's log`,
    );
  try {
    await within(connection.flush(), CHECK_MS, () => failure("doesn't answer"));
  } catch (error) {
    throw error instanceof LockstepError ? error : failure("broke off the connection");
  }
}

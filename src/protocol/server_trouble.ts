/**
 * Turns an error that a server reports after it has let a client in into a sentence with its cure.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { LockstepError } from "../base/errors.ts";
import { errors } from "../deps/nats_core.ts";
import type { NatsAddress } from "./address.ts";
import { NATS_PREFIX_VARIABLE, parseAddress } from "./address.ts";
import { CredentialsError, ServerRefusalError } from "./connect_failure.ts";
import { DEFAULT_PREFIX } from "./subjects.ts";

/** Smallest `max_payload` of a server in which each message without a payload finds room. */
export const MIN_MAX_PAYLOAD = 16 * 1024;
/** Subjects that a process listens to at a time. */
export const MAX_SUBSCRIPTIONS = 7;
/** Subjects of each kind that a sentence names. */
const MAX_NAMED = 2;

/** Returns the error of a run for an error of the server's; nothing where the run can go on. */
export function serverTrouble(error: Error, address: NatsAddress): LockstepError | undefined {
  if (error instanceof errors.PermissionViolationError) return rightsMissing([error], address);
  const at = `The nats-server at ${parseAddress(address).server}`;
  const refuse = (sentence: string) =>
    new ServerRefusalError(`${at} ${sentence}`, { cause: error });
  const { message } = error;
  if (
    error instanceof errors.AuthorizationError ||
    error instanceof errors.UserAuthenticationExpiredError ||
    /authentication (expired|revoked)/i.test(message)
  ) {
    return new CredentialsError(
      `${at} doesn't accept the credentials any more (${message}): give those that it accepts now, and go on with --resume`,
      { cause: error },
    );
  }
  if (/maximum subscriptions/i.test(message)) {
    return refuse(
      `refuses a subscription: raise max_subscriptions (of the server or the account) to at least ${MAX_SUBSCRIPTIONS} ` +
        "for each connection",
    );
  }
  if (/maximum payload/i.test(message)) return refuse(`refuses a message: ${PAYLOAD_CURE}`);
  if (/maximum control line/i.test(message)) {
    return refuse("refuses a line of a message: set its max_control_line to at least 1024");
  }
  return undefined; // what ends the connection is noticed by its end, and the client looks for the server again
}

const PAYLOAD_CURE =
  "its max_payload was made smaller while the run went on: restore it, or resume the run, which takes the new one";

/** Returns that messages which were small enough at the beginning are too large now. */
export function payloadShrunk(server: string, before: number, now: number): LockstepError {
  return new ServerRefusalError(
    `The nats-server at ${server} lets messages of ${now} bytes through, and let ${before} through before: ${PAYLOAD_CURE}`,
  );
}

/** Returns that a server's messages are too small for any run. */
export function payloadTooSmall(server: string, maxPayload: number): LockstepError {
  return new ServerRefusalError(
    `The nats-server at ${server} lets messages of ${maxPayload} bytes through: ` +
      `set its max_payload to at least ${MIN_MAX_PAYLOAD}`,
  );
}

/** Returns that a server breaks off the connection again and again. */
export function cutOff(server: string, times: number, seconds: number): LockstepError {
  return new LockstepError(
    `The nats-server at ${server} broke off the connection ${times} times within ${seconds} s, though it answers: ` +
      "where its log says Slow Consumer, raise its max_pending to at least 64MB and its write_deadline to 10s, or set " +
      "exchange to shared-memory; else look for what is between (a proxy, a firewall)",
  );
}

/** Returns which rights on Lockstep's subjects a client lacks, of all refusals that came. */
export function rightsMissing(
  refusals: readonly { operation: "publish" | "subscription"; subject: string }[],
  address: NatsAddress,
): LockstepError {
  const { server, credentials } = parseAddress(address);
  const who = !credentials
    ? "clients without credentials"
    : "user" in credentials
    ? `the user ${JSON.stringify(credentials.user)}`
    : `holders of ${"token" in credentials ? "this token" : "these credentials"}`;
  const kinds = [
    {
      verb: "publish",
      preposition: "to",
      of: refusals.filter((one) => one.operation === "publish"),
    },
    {
      verb: "subscribe",
      preposition: "to",
      of: refusals.filter((one) => one.operation === "subscription"),
    },
  ].filter(({ of }) => of.length > 0);
  const denied = kinds.map(({ verb, of }) =>
    `${verb} to ${
      listed([...new Set(of.map(({ subject }) => subject))], {
        max: MAX_NAMED,
        others: "other subjects",
      })
    }`
  );
  const verbs = kinds.map(({ verb }) => verb).join(" and ");
  return new ServerRefusalError(
    `The nats-server at ${server} doesn't let ${who} ${denied.join(", nor ")}: ` +
      `give it permission to ${verbs} on ${
        address.prefix ?? DEFAULT_PREFIX
      }.>, or set nats.prefix (or the environment ` +
      `variable ${NATS_PREFIX_VARIABLE}) to the beginning of subjects that it may use`,
  );
}

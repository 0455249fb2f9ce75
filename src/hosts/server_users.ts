/**
 * The users of a nats-server that Lockstep starts: the coordinator and the workers of one run, each with the
 * permissions that its messages need.
 *
 * Users are known by nkeys: the server is given public keys, and a client signs what the server sends it. No secret
 * is written to a file, and none travels.
 *
 * @module
 */
import { nkeys } from "../deps/nats_core.ts";
import type { Credentials } from "../protocol/credentials.ts";
import { hostCredentials } from "../protocol/join_token.ts";
import { Subjects } from "../protocol/subjects.ts";

/** A user of the server. */
interface ServerUser {
  readonly publicKey: string;
  readonly credentials: Credentials;
}

/** The users of a run's server. */
export interface ServerUsers {
  readonly coordinator: ServerUser;
  readonly worker: ServerUser;
  /** The agents of other hosts, where they may join. */
  readonly host?: ServerUser;
}

/**
 * Returns new users.
 *
 * @param token The token with which other hosts join; none can without it
 */
export function makeServerUsers(token?: string): ServerUsers {
  return {
    coordinator: makeUser(),
    worker: makeUser(),
    ...(token === undefined ? {} : { host: userOf(hostCredentials(token)) }),
  };
}

function makeUser(): ServerUser {
  return userOf({ nkey: new TextDecoder().decode(nkeys.createUser().getSeed()) });
}

export function userOf(credentials: { readonly nkey: string }): ServerUser {
  const pair = nkeys.fromSeed(new TextEncoder().encode(credentials.nkey));
  return { publicKey: pair.getPublicKey(), credentials };
}

/** The subjects on which hosts ask to join, and are probed. */
const LOBBY = "lockstep.hosts.>";

/** The subjects of a run on which the coordinator and the agents of other hosts talk. */
function hostSubjects(runId: string): string[] {
  return [LOBBY, `lockstep.${runId}.host.>`];
}

/**
 * Returns the server's `authorization` block. The coordinator may publish and subscribe to every subject of its run,
 * a worker to those that a worker uses, and the agent of another host to those of joining and to its own; nobody else
 * is let in.
 *
 * @param runId The run's id; all runs unless given
 */
export function authorizationBlock(
  { coordinator, worker, host }: ServerUsers,
  runId = "*",
): string {
  const run = `lockstep.${runId}.>`;
  const all = host ? [run, LOBBY] : run;
  const ofHosts = hostSubjects(runId);
  const { listening, speaking } = Subjects.patternsOfWorkers(runId);
  return [
    "authorization {",
    `  timeout: ${AUTHENTICATION_S}`,
    "  users: [",
    `    ${userLine(coordinator, { publish: all, subscribe: all })}`,
    // What workers say is for the coordinator alone, also where a pattern of what they hear covers it.
    `    ${
      userLine(worker, { publish: speaking, subscribe: { allow: listening, deny: speaking } })
    }`,
    ...(host ? [`    ${userLine(host, { publish: ofHosts, subscribe: ofHosts })}`] : []),
    "  ]",
    "}",
  ].join("\n");
}

/** Seconds for a client to present its credentials; the server's own default of 2 is short on a busy machine. */
const AUTHENTICATION_S = 10;

/** The server's config format includes JSON. */
function userLine({ publicKey }: ServerUser, permissions: object): string {
  return JSON.stringify({ nkey: publicKey, permissions });
}

/**
 * Config keys of runs over several hosts.
 *
 * @module
 */
import { messageOf } from "../base/errors.ts";
import { pathSchema } from "../base/file_path.ts";
import { z } from "../deps/zod.ts";
import { parseListen } from "./listening.ts";
import { addressProblem } from "./local_addresses.ts";

/** The most hosts of a run. */
const MAX_HOSTS = 1024;
/** The most workers of a host. */
const MAX_WORKERS = 1024;
/** Seconds that may be waited: a day. */
const MAX_SECONDS = 86_400;
const DEFAULT_JOIN_TIMEOUT = 600;

const COUNT_HINT = `give a whole number from 1 to ${MAX_HOSTS}`;
const WORKERS_HINT =
  `give each host's workers, such as [0, 4, 4]: whole numbers up to ${MAX_WORKERS}`;
const SECONDS_HINT = `give 1 to ${MAX_SECONDS} seconds`;

const LISTEN_HINT = "give an address without spaces, such as 0.0.0.0:4222";
const ADDRESS_HINT = "give a name, an address, a network or an interface, without spaces";
/** A word, as editors know it too; what is wrong with a word is said by what reads it. */
const word = (hint: string) => z.string(hint).regex(/^\S+$/, { message: hint, abort: true });

const listenSchema = word(LISTEN_HINT).superRefine(
  (text, context) => {
    try {
      parseListen(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: messageOf(error) });
    }
  },
);

const addressSchema = word(ADDRESS_HINT).superRefine(
  (text, context) => {
    const problem = addressProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  },
);

/** Schema of the section `hosts`. */
export const hostsSchema = z.strictObject({
  count: z.int(COUNT_HINT).min(1, COUNT_HINT).max(MAX_HOSTS, COUNT_HINT).default(1).describe(
    "Hosts of the run: this one, and others that join it by the line that is printed.",
  ),
  workers: z.array(
    z.int(WORKERS_HINT).min(0, WORKERS_HINT).max(MAX_WORKERS, WORKERS_HINT),
    WORKERS_HINT,
  )
    .min(1, WORKERS_HINT).max(MAX_HOSTS, WORKERS_HINT).optional().describe(
      "Workers of each host in order, such as `[0, 4, 4]`, where the coordinator's host, the first, may have none; unless " +
        "set, `workers` are spread evenly, and the first hosts have one more.",
    ),
  listen: listenSchema.optional().describe(
    "Address and port at which the nats-server listens for other hosts, such as `0.0.0.0:4222` for all addresses of " +
      "this machine.",
  ),
  address: addressSchema.optional().describe(
    "The name, address, network (`10.0.0.0/8`) or interface (`eth0`) by which other hosts reach this one; unless set, " +
      "all addresses are tried.",
  ),
  tokenFile: pathSchema("name a file").optional().describe(
    "A file with the token that lets other hosts in, which no other user may open; it is made if it is missing. Unless " +
      "set, the file that `LOCKSTEP_TOKEN_FILE` names, or `join-token` in the cache folder.",
  ),
  tls: z.boolean().default(true).describe(
    "Encrypt what goes between hosts; `false` is for a server at 127.0.0.1 alone.",
  ),
  certificate: pathSchema("name a file").optional().describe(
    "A PEM file with the certificate of the nats-server, made out to the name by which hosts join, with those of " +
      "intermediate authorities behind it; unless set, one is made, and its fingerprint stands in the line for other " +
      "hosts.",
  ),
  key: pathSchema("name a file").optional().describe(
    "A PEM file with the key of `hosts.certificate`, which no other user may open.",
  ),
  ca: pathSchema("name a file").optional().describe(
    "A PEM file with the certificate of the authority that signed `hosts.certificate`, where this machine doesn't " +
      "know it.",
  ),
  joinTimeout: z.number(SECONDS_HINT).min(1, SECONDS_HINT).max(MAX_SECONDS, SECONDS_HINT).default(
    DEFAULT_JOIN_TIMEOUT,
  ).describe("Seconds in which the other hosts must join."),
});

/** The section `hosts` of a config. */
export type HostsConfig = z.output<typeof hostsSchema>;

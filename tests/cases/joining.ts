/**
 * The settings with which hosts join a run, and the coordinator lets them in.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { validateConfig } from "../../src/config/load.ts";
import { joinAddress, joinLine, parseJoin } from "../../src/hosts/join_line.ts";
import { type JoinFlags, readJoinSettings } from "../../src/hosts/join_settings.ts";
import { parseListen, requireProtection } from "../../src/hosts/listening.ts";
import { offeredAddresses } from "../../src/hosts/local_addresses.ts";
import { prepareListening } from "../../src/hosts/prepare_listening.ts";
import { expandNodeList } from "../../src/hosts/slurm.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

const PRINT = "0123456789abcdef".repeat(4);
const LINE = `nats://10.0.0.1:4222#${PRINT}`;

/** Makes sure that all of the inputs are refused, each in a sentence that ends the run with exit code 2. */
async function refuses<T>(
  rows: readonly (readonly [input: T, message: RegExp])[],
  act: (input: T) => unknown,
): Promise<void> {
  for (const [input, message] of rows) {
    const error = await Promise.resolve().then(() => act(input)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof UsageError, `${JSON.stringify(input)}: ${error}`);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n|\.$/);
  }
}

const WELL_FORMED: [text: string, servers: string[], kind: string][] = [
  [LINE, ["10.0.0.1:4222"], "fingerprint"],
  [`nats://10.0.0.1#${PRINT}`, ["10.0.0.1:4222"], "fingerprint"],
  [`10.0.0.1:5000#${PRINT.toUpperCase()}`, ["10.0.0.1:5000"], "fingerprint"],
  [`  NATS://A.Example:4222/#${PRINT.match(/../g)!.join(":")} `, ["a.example:4222"], "fingerprint"],
  [`tls://10.0.0.1:4222#${PRINT}`, ["10.0.0.1:4222"], "fingerprint"],
  [`nats://[fd00::1]:4222#${PRINT}`, ["[fd00::1]:4222"], "fingerprint"],
  [`nats://a:1,b:2,[::1],a:1#${PRINT}`, ["a:1", "b:2", "[::1]:4222"], "fingerprint"],
  ["nats://node-1:4222", ["node-1:4222"], "token"],
  ["node-1", ["node-1:4222"], "token"],
  ["tls://broker.example", ["broker.example:4222"], "authority"],
  ["nats://127.0.0.1:4222#plain", ["127.0.0.1:4222"], "plain"],
  ["nats://localhost,[::1]:4223#plain", ["localhost:4222", "[::1]:4223"], "plain"],
];

const MALFORMED: [text: string, message: RegExp][] = [
  ["", /^--join is : it has nothing in it: copy the line as the coordinator printed it$/],
  [`deno task worker --join ${LINE}`, /give the address alone, which follows --join$/],
  ["nats://10.0.0.1:4222 #abc", /an address has no spaces/],
  [`${LINE}#${PRINT}`, /it has "#" more than once/],
  [
    `nats://me:hidden-word@10.0.0.1:4222#${PRINT}`,
    /no user, password or token stands in it: name the token's file by --token-file$/,
  ],
  ["nats://10.0.0.1:4222#", /the fingerprint behind "#" is missing: .*, or leave "#" out$/],
  [
    `nats://10.0.0.1:4222#${PRINT.slice(1)}`,
    /behind "#" stands no fingerprint, which has 64 hexadecimal digits \(here are 63 characters\)/,
  ],
  [`nats://10.0.0.1:4222#${PRINT.slice(1)}g`, /stands no fingerprint/],
  [
    "nats://10.0.0.1:4222#plain",
    /a server without TLS is joined on its own machine alone, and 10\.0\.0\.1:4222 is another's$/,
  ],
  ["tls://127.0.0.1:4222#plain", /tls:\/\/ and "#plain" contradict each other/],
  [`http://10.0.0.1:4222#${PRINT}`, /not http:\/\/: copy the line/],
  [`nats://10.0.0.1:99999#${PRINT}`, /the port is "99999", and must be 1 to 65535: copy the line/],
  [`nats://10.0.0.1:0#${PRINT}`, /the port is "0"/],
  [`nats://fd00::1:4222#${PRINT}`, /an IPv6 address stands in brackets/],
  [`nats://#${PRINT}`, /it names no host/],
  [`nats://a,,b#${PRINT}`, /it names no host/],
  [
    `nats://${Array.from({ length: 9 }, (_, index) => `h${index}`)}#${PRINT}`,
    /it has more than 8 addresses/,
  ],
  [`nats://a?x=1#${PRINT}`, /has no meaning behind the host and port/],
];

/** Variables that Slurm sets for a task on the third of four nodes. */
const SLURM = {
  SLURM_PROCID: "2",
  SLURM_LOCALID: "0",
  SLURM_NODEID: "2",
  SLURM_STEP_NODELIST: "gpu[01-04]",
  SLURMD_NODENAME: "gpu03",
};

type Variables = Record<string, string | undefined>;

function settings(flags: JoinFlags, variables: Variables, own: string[] = []) {
  return readJoinSettings(flags, (name) => variables[name], (host) => own.includes(host));
}

const ADMITTED: [flags: JoinFlags, variables: Variables, expected: Record<string, unknown>][] = [
  [{ join: LINE, tokenFile: "/t" }, {}, {
    servers: ["10.0.0.1:4222"],
    tokenFile: "/t",
    tokenSource: "--token-file",
  }],
  [{}, { LOCKSTEP_JOIN: LINE, LOCKSTEP_TOKEN_FILE: "/t" }, {
    tokenFile: "/t",
    tokenSource: "LOCKSTEP_TOKEN_FILE",
  }],
  [{ join: LINE }, { LOCKSTEP_JOIN: LINE, LOCKSTEP_HOST_INDEX: "3" }, {
    hostIndex: 3,
    trust: { kind: "fingerprint", fingerprint: PRINT },
  }],
  [{ join: LINE, address: "ib0", data: "/d" }, { LOCKSTEP_TOKEN_FILE: "" }, {
    address: "ib0",
    data: "/d",
  }],
  [{}, { LOCKSTEP_JOIN: LINE, LOCKSTEP_ADDRESS: "10.0.0.0/8", LOCKSTEP_DATA: "/e" }, {
    address: "10.0.0.0/8",
    data: "/e",
  }],
  [{ join: "tls://a.example", ca: "/ca.pem" }, {}, { trust: { kind: "authority" }, ca: "/ca.pem" }],
  [{ join: "tls://a.example" }, { LOCKSTEP_NATS_CA: "/ca.pem" }, { ca: "/ca.pem" }],
  // An authority of other servers says nothing about one that is known by its fingerprint.
  [{ join: LINE }, { LOCKSTEP_NATS_CA: "/ca.pem" }, { ca: undefined }],
  // Slurm: the coordinator is on the first node, unless LOCKSTEP_JOIN names another one.
  [{}, SLURM, { servers: ["gpu01:4222"], trust: { kind: "token" }, hostIndex: 2 }],
  [{}, { ...SLURM, LOCKSTEP_JOIN: "nats://gpu04.cluster:5000" }, {
    servers: ["gpu04.cluster:5000"],
    hostIndex: 3,
  }],
  [{}, { ...SLURM, LOCKSTEP_JOIN: "nats://login:5000" }, { hostIndex: 3 }],
  [{}, { ...SLURM, LOCKSTEP_JOIN: "nats://10.0.0.1:5000" }, { hostIndex: undefined }],
  [{}, { ...SLURM, LOCKSTEP_HOST_INDEX: "7" }, { hostIndex: 7 }],
  [{}, {
    ...SLURM,
    SLURM_NODEID: "3",
    SLURM_JOB_NODELIST: "x1",
    SLURM_STEP_NODELIST: "gpu[01-03],login",
  }, { hostIndex: 3 }],
  // A line that was pasted into a shell on a node: the order of arrival.
  [{ join: LINE }, { ...SLURM, SLURM_NODEID: "0", SLURM_STEP_NODELIST: "gpu09" }, {
    hostIndex: undefined,
  }],
];

const IDLE: [flags: JoinFlags, variables: Variables, own: string[], reason: RegExp][] = [
  [
    {},
    { ...SLURM, SLURM_LOCALID: "3" },
    [],
    /^Task 3 of node gpu03 has nothing to do: task 0 starts all workers of the node/,
  ],
  [{ join: LINE }, { ...SLURM, SLURM_LOCALID: "1" }, [], /^Task 1 of node gpu03 has nothing to do/],
  [
    {},
    { ...SLURM, SLURM_NODEID: "0", SLURMD_NODENAME: "gpu01" },
    [],
    /^Node gpu01 is the coordinator's/,
  ],
  [
    {},
    { ...SLURM, LOCKSTEP_JOIN: "nats://10.0.0.3" },
    ["10.0.0.3"],
    /^Node gpu03 is the coordinator's/,
  ],
  [{ join: "nats://GPU03.cluster:4222" }, SLURM, [], /^Node gpu03 is the coordinator's/],
];

const REFUSED: [input: { flags: JoinFlags; variables: Variables }, message: RegExp][] = [
  [
    { flags: {}, variables: {} },
    /^Nothing to join is given: paste the line that the coordinator printed \("deno task train --hosts 2 --listen 0\.0\.0\.0:4222" prints it\), or set LOCKSTEP_JOIN/,
  ],
  [{ flags: { tokenFile: "/t" }, variables: {} }, /^--token-file alone says not what to join: /],
  [
    { flags: { address: "eth0" }, variables: { LOCKSTEP_HOST_INDEX: "1", LOCKSTEP_JOIN: "" } },
    /^--address and LOCKSTEP_HOST_INDEX alone say not what to join: /,
  ],
  [
    { flags: { join: LINE }, variables: { LOCKSTEP_JOIN: "nats://b" } },
    /^--join is nats:\/\/10\.0\.0\.1:4222#[\da-f]+, and LOCKSTEP_JOIN is nats:\/\/b: leave one of them out$/,
  ],
  [
    { flags: { join: LINE, tokenFile: "/a" }, variables: { LOCKSTEP_TOKEN_FILE: "/b" } },
    /^--token-file is \/a, and LOCKSTEP_TOKEN_FILE is \/b: leave/,
  ],
  [
    { flags: {}, variables: { LOCKSTEP_JOIN: "nats://a#1" } },
    /^LOCKSTEP_JOIN is nats:\/\/a#1: behind "#" stands no fingerprint/,
  ],
  [
    { flags: { join: LINE }, variables: { LOCKSTEP_HOST_INDEX: "0" } },
    /^LOCKSTEP_HOST_INDEX is 0: host 0 is the coordinator's, so give the other hosts 1, 2 and so on, or leave it out/,
  ],
  ...["-1", "1.5", "one", "1024", "0x1"].map((
    text,
  ): [{ flags: JoinFlags; variables: Variables }, RegExp] => [
    { flags: { join: LINE }, variables: { LOCKSTEP_HOST_INDEX: text } },
    /^LOCKSTEP_HOST_INDEX is .*: give a whole number from 1 to 1023, or leave it out for the order of arrival$/,
  ]),
  [
    { flags: { join: LINE, ca: "/ca.pem" }, variables: {} },
    /^--ca names the authority of a server at tls:\/\/, and --join names one at nats:\/\/.*: leave out --ca/,
  ],
  [
    { flags: { join: LINE, tokenFile: "https://x/t" }, variables: {} },
    /^--token-file is https:\/\/x\/t: it is an address/,
  ],
  [
    { flags: {}, variables: { ...SLURM, SLURM_LOCALID: undefined } },
    /^SLURM_PROCID is set, and SLURM_LOCALID is missing: start the worker by srun, or unset SLURM_PROCID/,
  ],
  [
    { flags: {}, variables: { ...SLURM, SLURM_NODEID: "x" } },
    /^SLURM_PROCID is set, and SLURM_NODEID is "x"/,
  ],
  [
    { flags: {}, variables: { ...SLURM, SLURM_STEP_NODELIST: "" } },
    /SLURM_STEP_NODELIST is missing, which names the nodes/,
  ],
  [
    { flags: {}, variables: { ...SLURM, SLURM_STEP_NODELIST: "gpu[01-" } },
    /^SLURM_STEP_NODELIST is "gpu\[01-", which is no list of nodes$/,
  ],
];

const NODE_LISTS: [list: string, names: string[]][] = [
  ["a", ["a"]],
  ["a,b-2", ["a", "b-2"]],
  ["gpu[01-03,07],login", ["gpu01", "gpu02", "gpu03", "gpu07", "login"]],
  ["r[1-2]n[08-10]", ["r1n08", "r1n09", "r1n10", "r2n08", "r2n09", "r2n10"]],
  ["n[9-11].local", ["n9.local", "n10.local", "n11.local"]],
];

/**
 * Keys of a config, and the sentence about them; without one, they are accepted. A remedy names flags where another case has
 * run a command in this process.
 */
const CONFIGS: [keys: Record<string, unknown>, message?: RegExp][] = [
  [{ hosts: { count: 2, listen: "0.0.0.0:4222" }, workers: 4 }],
  [{ hosts: { count: 3, listen: "[::]:4222", workers: [0, 4, 2], address: "10.0.0.0/8" } }],
  [{ hosts: { count: 2, listen: "127.0.0.1:0", tls: false } }],
  [{ hosts: { address: "eth0", joinTimeout: 5 }, workers: 2 }],
  [{ hosts: { count: 1, workers: [2] } }],
  [
    { hosts: { count: 2 } },
    /^hosts\.count is 2, and nothing says where the other host finds this one: give (--listen |(--set )?hosts\.listen=)0\.0\.0\.0:4222$/,
  ],
  [{ hosts: { count: 4 } }, /where the other 3 hosts find this one/],
  [
    { hosts: { listen: "0.0.0.0:4222" } },
    /^hosts\.listen is 0\.0\.0\.0:4222, and hosts\.count is 1, so no other host would join: give (--hosts |(--set )?hosts\.count=)2, or leave out hosts\.listen$/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222", tls: false } },
    /^Other machines reach 0\.0\.0\.0, so a server may not listen there without TLS: leave out hosts\.tls, or set it to true; or listen at 127\.0\.0\.1/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222" }, nats: { url: "nats://a" } },
    /nats\.url names a server of others: .* leave out nats\.url$/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222" }, nats: { port: 4333 } },
    /^nats\.port is 4333, and hosts\.listen is 0\.0\.0\.0:4222.* leave out nats\.port$/,
  ],
  [
    { hosts: { count: 3, listen: "0.0.0.0:4222" }, workers: 2 },
    /^workers is 2, fewer than the 3 hosts: give at least 3, or say by hosts\.workers which hosts have any, such as \[0, 1, 1\]$/,
  ],
  [
    { hosts: { count: 3, listen: "0.0.0.0:4222", workers: [4, 4] } },
    /^hosts\.workers has 2 numbers \(\[4, 4\]\), and hosts\.count is 3/,
  ],
  [
    { hosts: { workers: [4, 4] } },
    /^hosts\.workers has 2 numbers \(\[4, 4\]\), and hosts\.count is 1/,
  ],
  [
    { hosts: { count: 3, listen: "0.0.0.0:4222", workers: [4, 0, 4] } },
    /^hosts\.workers gives host 1 no workers: only host 0/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222", workers: [1, 2] }, workers: 4 },
    /^workers is 4, and hosts\.workers has 3 together \(\[1, 2\]\): leave one of them out$/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222", certificate: "c.pem" } },
    /^hosts\.certificate is set, and hosts\.key is not/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222", key: "c.key" } },
    /^hosts\.key is set, and hosts\.certificate is not/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0:4222", ca: "ca.pem" } },
    /^hosts\.ca is set, and hosts\.certificate is not/,
  ],
  [
    { hosts: { count: 2, listen: "127.0.0.1", tls: false, key: "c.key" } },
    /^hosts\.tls is false, and hosts\.key is set/,
  ],
  [
    { hosts: { count: 2, listen: "127.0.0.1:4222", address: "10.0.0.1" } },
    /^hosts\.listen is 127\.0\.0\.1:4222, which only this machine reaches, and hosts\.address is 10\.0\.0\.1: listen at 0\.0\.0\.0/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0", workers: [0, 0] } },
    /^hosts\.workers is \[0, 0\], so nobody computes: give some host at least one worker$/,
  ],
  [
    { hosts: { count: 2, listen: "0.0.0.0 :4222" } },
    /hosts\.listen.*give an address without spaces/s,
  ],
  [{ hosts: { count: 0 } }, /hosts\.count.*give a whole number from 1 to 1024/s],
  [{ hosts: { count: 2.5 } }, /hosts\.count.*give a whole number/s],
  [
    { hosts: { count: 2, listen: "10.0.0.256:1" } },
    /hosts\.listen.*it has no IPv4 address/s,
  ],
  [{ hosts: { workers: [1, -1] } }, /hosts\.workers.*give each host's workers/s],
  [{ hosts: { address: "10.0.0.0/33" } }, /hosts\.address.*it is no network/s],
  [
    { hosts: { address: "10.0.0.1:4222" } },
    /hosts\.address.*has a port, which belongs to hosts\.listen/s,
  ],
  [{ hosts: { joinTimeout: 0 } }, /hosts\.joinTimeout.*give 1 to 86400 seconds/s],
  [{ hosts: { nodes: 2 } }, /nodes/],
];

const LISTENING: [text: string, host: string, port: number][] = [
  ["0.0.0.0:4222", "0.0.0.0", 4222],
  ["0.0.0.0", "0.0.0.0", 4222],
  ["5000", "0.0.0.0", 5000],
  [":5000", "0.0.0.0", 5000],
  ["[::]:4222", "::", 4222],
  ["[fd00::1]", "fd00::1", 4222],
  ["Localhost:0", "localhost", 0],
  [" gpu-1.cluster:4222 ", "gpu-1.cluster", 4222],
];

const NOT_LISTENING: [text: string, message: RegExp][] = [
  ["", /^it is no address to listen at: write 0\.0\.0\.0:4222/],
  ["nats://0.0.0.0:4222", /is a URL, and an address belongs here/],
  ["::", /is an IPv6 address without brackets: write \[::\]:4222/],
  ["[::1:4222", /is no address to listen at/],
  ["[abc]:4222", /is no address to listen at/],
  ["0.0.0.0:99999", /has the port 99999: a port is at most 65535/],
  ["0.0.0.0:", /is no address/],
  ["0.0.0:4222", /has no IPv4 address/],
  ["a b:1", /is no address/],
  ["0.0.0.0:4222,10.0.0.1:4222", /is no address/],
];

const LOCAL = [
  { name: "lo", address: "127.0.0.1" },
  { name: "docker0", address: "172.17.0.1" },
  { name: "eth0", address: "192.168.1.5" },
  { name: "eth0", address: "fd00::5" },
  { name: "eth0", address: "fe80::1" },
  { name: "ib0", address: "10.0.0.5" },
];

const OFFERED: [wanted: string | undefined, addresses: string[]][] = [
  [undefined, ["192.168.1.5", "10.0.0.5", "fd00::5"]],
  ["ib0", ["10.0.0.5"]],
  ["eth0", ["192.168.1.5", "fd00::5"]],
  ["10.0.0.0/8", ["10.0.0.5"]],
  ["fd00::/8", ["fd00::5"]],
  ["172.17.0.1", ["172.17.0.1"]],
  ["203.0.113.9", ["203.0.113.9"]],
  ["known.example", ["known.example"]],
];

const NOT_OFFERED: [wanted: string, message: RegExp][] = [
  [
    "11.0.0.0/8",
    /^hosts\.address is 11\.0\.0\.0\/8, and no address of this machine is in it: this machine has 127\.0\.0\.1 \(lo\), 172\.17\.0\.1 \(docker0\)/,
  ],
  [
    "eth1",
    /^hosts\.address is eth1, which is no interface of this machine and no name that has an address: did you mean eth0\?/,
  ],
  ["10.0.0.0/8/8", /is no network/],
  ["fd00::/129", /is no network/],
  ["a b", /names no address/],
  ["1.2.3", /has no IPv4 address/],
];

export const CASES: Case[] = [
  {
    name: "addresses of --join in all forms",
    must: "are read as they are meant, and written so that they are read again",
    run: () => {
      for (const [text, servers, kind] of WELL_FORMED) {
        const read = parseJoin(text);
        assert.deepEqual([read.servers, read.trust.kind], [servers, kind], text);
        assert.deepEqual(parseJoin(joinAddress(read)), read);
      }
      assert.equal(
        joinLine(parseJoin(LINE), "/home/me/my token", "/ca.pem"),
        `deno task worker --join '${LINE}' --token-file '/home/me/my token' --ca /ca.pem`,
      );
    },
  },
  {
    name: "malformed addresses of --join",
    must: "are refused in a sentence that says what is wrong, and shows no secret",
    run: async () => {
      await refuses(MALFORMED, (text) => parseJoin(text));
      assert.throws(
        () => parseJoin("nats://me:hidden-word@h#x"),
        (error: Error) => !error.message.includes("hidden-word"),
      );
    },
  },
  {
    name: "settings of a host from flags, the environment and Slurm",
    must: "are joined to one",
    run: () => {
      for (const [flags, variables, expected] of ADMITTED) {
        const read = settings(flags, variables) as unknown as Record<string, unknown>;
        const part = Object.fromEntries(Object.keys(expected).map((key) => [key, read[key]]));
        assert.deepEqual(part, expected, JSON.stringify([flags, variables]));
      }
      for (const [flags, variables, own, reason] of IDLE) {
        const read = settings(flags, variables, own);
        assert.match("idle" in read ? read.idle : "", reason);
      }
    },
  },
  {
    name: "settings of a host that are missing, half-set or contradictory",
    must: "are refused with the remedy",
    run: () => refuses(REFUSED, ({ flags, variables }) => settings(flags, variables)),
  },
  {
    name: "lists of nodes as Slurm writes them",
    must: "are expanded, and nothing else is taken for one",
    run: async () => {
      for (const [list, names] of NODE_LISTS) assert.deepEqual(expandNodeList(list), names);
      const odd = [
        "",
        "a,",
        ",a",
        "a[1-2",
        "a[2-1]",
        "a[x]",
        "a[]",
        "a[1-99999999]",
        "a[0-40000]b[0-9]",
        "a]",
      ];
      await refuses(
        odd.map((list) => [list, /which is no list of nodes$/]),
        (list) => expandNodeList(list),
      );
    },
  },
  {
    name: "keys of hosts that contradict each other or other keys",
    must: "are refused with the remedy",
    run: async () => {
      for (const [keys, message] of CONFIGS) {
        const { workers: _, ...rest } = tinyConfig("/nowhere");
        const config = { ...rest, ...keys };
        if (message === undefined) validateConfig(config);
        else await refuses([[config, message]], (each) => validateConfig(each));
      }
    },
  },
  {
    name: "addresses to listen at",
    must: "are read, or refused in a sentence",
    run: async () => {
      for (const [text, host, port] of LISTENING) {
        assert.deepEqual(parseListen(text), { host, port });
      }
      await refuses(NOT_LISTENING, (text) => parseListen(text));
    },
  },
  {
    name: "a server on a network without TLS or without a token",
    must: "is refused with the remedy, and let be on loopback",
    run: async () => {
      const none = { hasTls: false, hasUsers: false };
      for (const host of ["127.0.0.1", "127.8.0.1", "localhost", "::1", "[::1]"]) {
        requireProtection({ host, ...none });
      }
      requireProtection({ host: "0.0.0.0", hasTls: true, hasUsers: true });
      await refuses([
        [
          { host: "::", ...none },
          /^Other machines reach ::, .* without TLS and a token: leave out hosts\.tls, or set it to true, and name a file with a token/,
        ],
        [
          { host: "10.0.0.1", hasTls: true, hasUsers: false },
          /without a token: name a file with a token by hosts\.tokenFile; or listen at 127\.0\.0\.1/,
        ],
        [
          { host: "127.0.0.1.example", hasTls: false, hasUsers: true },
          /without TLS: leave out hosts\.tls/,
        ],
      ], requireProtection);
    },
  },
  {
    name: "the address by which others reach a host",
    must: "is chosen by name, address, network or interface",
    run: async () => {
      const options = {
        local: LOCAL,
        resolves: (name: string) => Promise.resolve(name === "known.example"),
      };
      for (const [wanted, addresses] of OFFERED) {
        assert.deepEqual(await offeredAddresses(wanted, options), addresses);
      }
      await refuses(NOT_OFFERED, (wanted) => offeredAddresses(wanted, options));
      const only = async (...local: typeof LOCAL) =>
        await offeredAddresses(undefined, { ...options, local });
      assert.deepEqual(await only(LOCAL[0]!), ["127.0.0.1"]);
      assert.deepEqual(await only(LOCAL[0]!, LOCAL[1]!), ["172.17.0.1"]);
    },
  },
  {
    name: "certificates for the server of hosts",
    must: "are used as they are made out, or refused in a sentence",
    run: () => withTemporaryFolder(checkCertificates),
  },
];

async function checkCertificates(folder: string): Promise<void> {
  const at = (name: string) =>
    new URL(`../fixtures/certificates/${name}`, import.meta.url).pathname;
  // Keys of the fixtures are open to others, as git keeps no modes.
  for (const name of ["server", "other_host", "expired", "ca"]) {
    await Deno.copyFile(at(`${name}.key`), join(folder, `${name}.key`));
    await Deno.chmod(join(folder, `${name}.key`), 0o600);
  }
  const tokenFile = join(folder, "token");
  const prepare = (name: string, more: Record<string, unknown> = {}, key = name) =>
    prepareListening({
      listen: "127.0.0.1:0",
      tls: true,
      tokenFile,
      certificate: at(`${name}.pem`),
      key: join(folder, `${key}.key`),
      ca: at("ca.pem"),
      ...more,
    });
  const { joinLine, tls, isNewToken } = await prepare("server");
  assert.equal(isNewToken, true);
  assert.equal(tls?.name, "localhost");
  const line = joinLine(5000);
  assert.equal(
    line,
    `deno task worker --join tls://localhost:5000,127.0.0.1:5000 --token-file ${tokenFile} --ca ${
      at("ca.pem")
    }`,
  );
  const named = await prepare("other_host", { listen: "0.0.0.0:0" });
  assert.deepEqual([named.addresses, named.isNewToken], [["broker.example"], false]);
  await Deno.writeTextFile(join(folder, "no.key"), "nothing", { mode: 0o600 });
  await Deno.writeTextFile(
    join(folder, "cut.key"),
    (await Deno.readTextFile(join(folder, "server.key"))).slice(0, 60) +
      "\n-----END PRIVATE KEY-----\n",
    { mode: 0o600 },
  );
  await Deno.writeTextFile(join(folder, "locked.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", {
    mode: 0o600,
  });
  await Deno.copyFile(at("server.key"), join(folder, "open.key"));
  await Deno.chmod(join(folder, "open.key"), 0o644);
  await refuses<Parameters<typeof prepare>>([
    [["expired"], /^hosts\.certificate is .*expired\.pem, which expired on 2026-02-01: renew it$/],
    [["ca"], /which is that of an authority: give the server one of its own/],
    [
      ["server", {}, "ca"],
      /^hosts\.key is .*ca\.key, which is not the key of the certificate in .*server\.pem: name the two files/,
    ],
    [["server", {}, "none"], /^hosts\.key is .*none\.key, which doesn't exist/],
    [["server", {}, "no"], /which holds no private key in PEM form/],
    [["server", {}, "cut"], /whose key is damaged/],
    [["server", {}, "locked"], /which is encrypted: "openssl pkey/],
    [
      ["server", {}, "open"],
      /^hosts\.key is .*open\.key, which other users may open: chmod 600 it$/,
    ],
    [
      ["server", { listen: "0.0.0.0:0" }],
      /^hosts\.certificate is made out to localhost, 127\.0\.0\.1, none of which names this host alone: name it by hosts\.address$/,
    ],
    [
      ["server", { listen: "0.0.0.0:0", address: "10.9.9.9" }],
      /^hosts\.address is 10\.9\.9\.9, and hosts\.certificate isn't made out to 10\.9\.9\.9, only to localhost, 127\.0\.0\.1/,
    ],
    [["missing", {}, "server"], /^hosts\.certificate is .*missing\.pem, which doesn't exist/],
  ], (args) => prepare(...args));
  const onIpv6Alone = prepareListening({
    listen: "0.0.0.0:0",
    tls: true,
    tokenFile,
    address: "fd00::5",
  });
  await refuses([[
    0,
    /^hosts\.listen is 0\.0\.0\.0, which takes IPv4 alone, and hosts\.address is fd00::5: listen at \[::\], which takes both$/,
  ]], () => onIpv6Alone);
  const local = [{ name: "eth0", address: "fd00::5" }, { name: "eth0", address: "10.0.0.5" }];
  const self = await prepareListening({ listen: "0.0.0.0:0", tls: true, tokenFile }, { local });
  assert.deepEqual(self.addresses, ["10.0.0.5"]);
  assert.match(self.joinLine(1), /--join 'nats:\/\/10\.0\.0\.5:1#[\da-f]{64}' --token-file/);
  // The environment names the token's file as it does for hosts that join.
  const envFile = join(folder, "by-environment");
  {
    using _file = withVariables({ LOCKSTEP_TOKEN_FILE: envFile });
    const byEnvironment = await prepareListening({ listen: "127.0.0.1:0", tls: true });
    assert.deepEqual([byEnvironment.tokenFile, byEnvironment.isNewToken], [envFile, true]);
    assert.equal(
      (await prepareListening({ listen: "127.0.0.1:0", tls: true, tokenFile })).tokenFile,
      tokenFile,
    );
    await Deno.chmod(envFile, 0o644);
    await refuses([[
      "127.0.0.1:0",
      /^LOCKSTEP_TOKEN_FILE is .*by-environment, which other users may open/,
    ]], (listen) => prepareListening({ listen, tls: true }));
  }
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  await refuses(
    [[`127.0.0.1:${port}`, new RegExp(`^Port ${port} is in use`)]],
    (listen) => prepare("server", { listen }),
  );
}

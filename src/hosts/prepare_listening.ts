/**
 * All that the coordinator's server needs to let other hosts in: address, certificate, token, and the line to paste.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { UsageError } from "../base/errors.ts";
import { pathOption } from "../base/file_path.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import { ensureToken } from "../protocol/join_token.ts";
import { checkPort, type ServerCertificate } from "./broker.ts";
import type { HostsConfig } from "./config.ts";
import { joinLine } from "./join_line.ts";
import { defaultTokenFile, TOKEN_FILE_VARIABLE } from "./join_settings.ts";
import { isLoopback, parseListen, requireProtection } from "./listening.ts";
import { type LocalAddress, offeredAddresses, reachedAt } from "./local_addresses.ts";
import { makeCertificate } from "./own_certificate.ts";
import { type GivenCertificate, readServerCertificate } from "./server_certificate.ts";
import { makeServerUsers, type ServerUsers } from "./server_users.ts";

/** A server that other hosts join, before it is started. */
export interface Listening {
  readonly host: string;
  /** 0 stands for any free port. */
  readonly port: number;
  /** The first port for other servers of this host; any free one where there is none. */
  readonly firstPort?: number;
  readonly tls?: ServerCertificate;
  readonly users: ServerUsers;
  readonly token: string;
  readonly tokenFile: string;
  /** True if the token's file was made here. */
  readonly isNewToken: boolean;
  /** Names or addresses by which other hosts reach the server, the likeliest first. */
  readonly addresses: readonly string[];
  /** Returns the line to paste on another host. */
  readonly joinLine: (port: number) => string;
}

/** The section `hosts`, as far as the server depends on it. */
export type ListeningConfig =
  & Pick<HostsConfig, "address" | "tokenFile" | "tls" | "certificate" | "key" | "ca">
  & { readonly listen: string };

/** Options for tests. */
export interface ListeningOptions {
  readonly local?: readonly LocalAddress[];
}

/** The addresses that stand for all of a machine's. */
const ANY = ["0.0.0.0", "::"];

/**
 * Prepares the server that other hosts join; reads or makes its token and its certificate.
 *
 * @throws {UsageError} When a setting can't be used, or the port is in use
 */
export async function prepareListening(
  hosts: ListeningConfig,
  options: ListeningOptions = {},
): Promise<Listening> {
  const { host, port } = parseListen(hosts.listen);
  requireProtection({ host, hasTls: hosts.tls, hasUsers: true });
  await checkPort(port, host);
  const { tokenFile, where } = tokenFileOf(hosts.tokenFile);
  const { token, isNew: isNewToken } = await ensureToken(tokenFile, where);
  const own = hosts.certificate === undefined || hosts.key === undefined
    ? undefined
    : await readServerCertificate({ certificate: hosts.certificate, key: hosts.key, ca: hosts.ca });
  const tls = hosts.tls ? own ?? await makeCertificate(token) : undefined;
  const addresses = await addressesOf(host, hosts.address, own, options);
  const trust = !tls
    ? { kind: "plain" } as const
    : own
    ? { kind: "authority" } as const
    : { kind: "fingerprint", fingerprint: fingerprint(tls.certificate) } as const;
  const ca = own?.ca === undefined ? undefined : hosts.ca ?? hosts.certificate;
  return {
    host,
    port,
    ...(port === 0 ? {} : { firstPort: port + 1 }),
    ...(tls ? { tls } : {}),
    users: makeServerUsers(token),
    token,
    tokenFile,
    isNewToken,
    addresses,
    joinLine: (actual) =>
      joinLine({ servers: addresses.map((each) => serverOf(each, actual)), trust }, tokenFile, ca),
  };
}

/** The token's file by the config, the environment or default, as for hosts that join; and what names it. */
function tokenFileOf(configured: string | undefined): { tokenFile: string; where: string } {
  const named = Deno.env.get(TOKEN_FILE_VARIABLE);
  if (configured === undefined && named) {
    return { tokenFile: pathOption(TOKEN_FILE_VARIABLE, named), where: TOKEN_FILE_VARIABLE };
  }
  return { tokenFile: configured ?? defaultTokenFile(), where: "hosts.tokenFile" };
}

async function addressesOf(
  host: string,
  wanted: string | undefined,
  own: GivenCertificate | undefined,
  options: ListeningOptions,
): Promise<string[]> {
  const resolves = (name: string) => lookup(name).then(() => true, () => false);
  if (own && wanted === undefined) {
    // Only the names of the certificate will do.
    const names = own.names.filter((name) => !name.startsWith("*.") && !isLoopback(name));
    const found = isLoopback(host) ? own.names.filter(isLoopback) : names;
    if (found.length > 0) return found.slice(0, MAX_NAMES);
    throw new UsageError(
      `hosts.certificate is made out to ${
        own.names.join(", ")
      }, none of which names this host alone: name it by hosts.address`,
    );
  }
  const addresses = wanted === undefined && !ANY.includes(host)
    ? [host]
    : reachedAt(host, await offeredAddresses(wanted, { resolves, ...options }));
  if (addresses.length === 0) {
    throw new UsageError(
      `hosts.listen is ${host}, which takes IPv4 alone, and ${
        wanted === undefined
          ? "this machine has IPv6 addresses alone"
          : `hosts.address is ${wanted}`
      }: listen at [::], which takes both`,
    );
  }
  const other = own && addresses.find((each) => !own.covers(each));
  if (other === undefined) return addresses;
  throw new UsageError(
    `hosts.address is ${wanted}, and hosts.certificate isn't made out to ${other}, only to ${
      own!.names.join(", ")
    }: name the host as its certificate does, or have one made out to ${other}`,
  );
}

/** The most names of a certificate that stand in the line. */
const MAX_NAMES = 4;

function serverOf(host: string, port: number): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

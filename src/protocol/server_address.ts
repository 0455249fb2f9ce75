/**
 * Servers that somebody else runs: their addresses, with all that a connection needs.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { within } from "../base/async.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { pathOption } from "../base/file_path.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { given } from "../base/given.ts";
import {
  NATS_CA_VARIABLE,
  NATS_CREDENTIALS_VARIABLE,
  NATS_PREFIX_VARIABLE,
  type NatsAddress,
  parseAddress,
  withCredentials,
} from "./address.ts";
import { readCredentials } from "./credentials_file.ts";
import { checkPrefix } from "./subjects.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
/** No file of authorities is larger; that of a whole system has 200 KB. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Milliseconds for the addresses of a host. */
const LOOKUP_MS = 3_000;

/** A server that somebody else runs, as a config or the environment describes it. */
export interface ForeignServer {
  readonly url: string;
  /** Path of the certificates of the authorities that may vouch for the server. */
  readonly ca?: string | undefined;
  /** Path of a file with the credentials. */
  readonly credentials?: string | undefined;
  /** Beginning of the subjects of runs on this server. */
  readonly prefix?: string | undefined;
}

/**
 * Returns the address of a server, with the credentials that this process was given, and the certificates of the
 * authorities that may vouch for the server. What the config doesn't name, the environment may.
 *
 * @throws {UsageError} When a file can't be used, or there are two kinds of credentials
 */
export async function serverAddress(server: ForeignServer): Promise<NatsAddress> {
  const url = withCredentials(server.url);
  const ca = named(server.ca, "nats.ca", NATS_CA_VARIABLE);
  const credentials = named(server.credentials, "nats.credentials", NATS_CREDENTIALS_VARIABLE);
  if (credentials && parseAddress({ url }).credentials) {
    throw new UsageError(
      `The address of the nats-server has credentials, and ${credentials.where} names others: leave one of them out`,
    );
  }
  const prefix = server.prefix ?? fromEnvironment(NATS_PREFIX_VARIABLE);
  if (prefix !== undefined) checkPrefix(prefix, NATS_PREFIX_VARIABLE);
  return {
    url,
    ...given("ca", ca && await readAuthorities(ca.path, ca.where)),
    ...given(
      "credentials",
      credentials && await readCredentials(credentials.path, credentials.where),
    ),
    ...given("credentialsFile", credentials?.path),
    ...given("prefix", prefix),
    reach: await reachOf(url),
  };
}

/** Returns the host of a server, and its present addresses with the port. */
async function reachOf(url: string): Promise<string[]> {
  const { host, port } = placeOf(parseAddress({ url }).server);
  const name = host.replace(/^\[|\]$/g, "");
  const addresses = await within(lookup(name, { all: true }), LOOKUP_MS, () => new Error("slow"))
    .catch(() => []); // the connection fails too, and says why
  const places = addresses.map(({ address, family }) =>
    family === 6 ? `[${address}]:${port}` : `${address}:${port}`
  );
  return [...new Set([isIP(name) ? `${host}:${port}` : host, ...places])];
}

function placeOf(server: string): { host: string; port: string } {
  const at = server.lastIndexOf(":");
  return { host: server.slice(0, at), port: server.slice(at + 1) };
}

/** A file, and the setting that names it. */
function named(
  path: string | undefined,
  key: string,
  variable: string,
): { path: string; where: string } | undefined {
  if (path !== undefined) return { path, where: key };
  const other = fromEnvironment(variable);
  return other ? { path: pathOption(variable, other), where: variable } : undefined;
}

function fromEnvironment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}

/**
 * Reads certificates of authorities.
 *
 * @param where The setting that names the file, for messages
 * @returns The certificates as PEM, without the text between them
 * @throws {UsageError} When the file can't be read, or has no certificate that can be
 */
export async function readAuthorities(path: string, where: string): Promise<string> {
  const refuse = (reason: string): never => {
    throw new UsageError(`${where} is ${path}, ${reason}`);
  };
  const text = await readText(path, refuse);
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) {
    refuse(
      /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)
        ? "which holds a private key and no certificate: name the authority's certificate"
        : 'which holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----"): name a PEM file; ' +
          "openssl x509 -inform der -in FILE makes one of a DER file",
    );
  }
  certificates.forEach((certificate, index) => {
    try {
      new X509Certificate(certificate);
    } catch (error) {
      refuse(`whose certificate ${index + 1} is damaged (${reasonOf(error)}): copy the file anew`);
    }
  });
  return certificates.join("\n") + "\n";
}

async function readText(path: string, refuse: (reason: string) => never): Promise<string> {
  const info = await Deno.stat(path).catch((error) =>
    refuse(
      error instanceof Deno.errors.NotFound
        ? "which doesn't exist: name a PEM file with the certificate of the server's authority"
        : `which can't be read: ${reasonOf(error)}`,
    )
  );
  if (!info.isFile) refuse("which is no file: name a PEM file");
  if (info.size > MAX_BYTES) refuse("which is too large for certificates: name a PEM file");
  const bytes = await readRegularFile(path).catch((error) =>
    refuse(`which can't be read: ${reasonOf(error)}`)
  );
  return new TextDecoder("latin1").decode(bytes);
}

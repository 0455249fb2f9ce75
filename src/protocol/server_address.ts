/**
 * The address of a server that somebody else runs, with all that a connection to it needs.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { reasonOf, UsageError } from "../base/errors.ts";
import { pathOption } from "../base/file_path.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { NATS_CA_VARIABLE, type NatsAddress, withCredentials } from "./address.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
/** No file of authorities is larger; that of a whole system has 200 KB. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Returns the address of a config, with the credentials that this process was given, and the certificates of the
 * authorities that may vouch for the server: those of `nats.ca`, else of the environment variable.
 *
 * @throws {UsageError} When the file of certificates can't be used
 */
export async function serverAddress(
  { url, ca }: { url: string; ca?: string | undefined },
): Promise<NatsAddress> {
  const address = { url: withCredentials(url) };
  const named = ca === undefined ? fromEnvironment() : { path: ca, where: "nats.ca" };
  return named ? { ...address, ca: await readAuthorities(named.path, named.where) } : address;
}

function fromEnvironment(): { path: string; where: string } | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: NATS_CA_VARIABLE });
  const path = state === "granted" ? Deno.env.get(NATS_CA_VARIABLE) : undefined;
  return path ? { path: pathOption(NATS_CA_VARIABLE, path), where: NATS_CA_VARIABLE } : undefined;
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

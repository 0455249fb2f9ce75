/**
 * A certificate and its key as users give them, for the server that hosts join.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { messageOf, reasonOf, UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { readAuthorities } from "../protocol/server_address.ts";
import type { ServerCertificate } from "./broker.ts";

/** The files of a certificate. */
export interface CertificateFiles {
  /** Path of the certificate, with those of intermediate authorities behind it. */
  readonly certificate: string;
  /** Path of its key. */
  readonly key: string;
  /** Path of the authorities that vouch for it, if this machine doesn't know them. */
  readonly ca?: string | undefined;
}

/** A certificate as users give it. */
export interface GivenCertificate extends ServerCertificate {
  /** The names and addresses that it is made out to. */
  readonly names: readonly string[];
  /** Tells whether it is made out to a name or an address. */
  readonly covers: (host: string) => boolean;
}

const CERTIFICATE = "hosts.certificate";
const KEY = "hosts.key";
const MAX_BYTES = 64 * 1024;
/** Permissions of others in a file's mode. */
const OTHERS = 0o007;

/**
 * Reads a certificate and its key, and makes sure that a server can use them.
 *
 * @param now For tests
 * @throws {UsageError} When a file can't be read, the key isn't the certificate's or open to other users, or the
 *   certificate is no server's or not valid today
 */
export async function readServerCertificate(
  files: CertificateFiles,
  now = new Date(),
): Promise<GivenCertificate> {
  const certificate = await readAuthorities(files.certificate, CERTIFICATE);
  const key = await readKey(files.key);
  const refuse = (reason: string): never => {
    throw new UsageError(`${CERTIFICATE} is ${files.certificate}, ${reason}`);
  };
  const own = new X509Certificate(certificate);
  if (!withKnownKind(() => own.checkPrivateKey(createPrivateKey(key)), refuse)) {
    throw new UsageError(
      `${KEY} is ${files.key}, which is not the key of the certificate in ${files.certificate}: name the two files that ` +
        "were made together; where a file has several certificates, the server's own comes first",
    );
  }
  const day = (text: string) => new Date(text).toISOString().slice(0, 10);
  if (now > new Date(own.validTo)) refuse(`which expired on ${day(own.validTo)}: renew it`);
  if (now < new Date(own.validFrom)) {
    refuse(
      `which isn't valid before ${
        day(own.validFrom)
      }: correct this machine's clock, or the certificate`,
    );
  }
  if (own.ca) {
    refuse(
      "which is that of an authority: give the server one of its own, which the authority signs, or a self-signed one " +
        "with basicConstraints CA:FALSE",
    );
  }
  const names = namesOf(own);
  const [name] = names;
  if (name === undefined) {
    refuse("which is made out to no name or address: have one made with a subjectAltName");
  }
  const isSelfSigned = own.issuer === own.subject &&
    withKnownKind(() => own.verify(own.publicKey), refuse);
  const ca = files.ca !== undefined
    ? await readAuthorities(files.ca, "hosts.ca")
    : isSelfSigned
    ? own.toString()
    : undefined;
  return {
    certificate,
    key,
    name: name!.replace(/^\*\./, "lockstep."),
    ...(ca === undefined ? {} : { ca }),
    names,
    covers: (host) =>
      isIP(host) ? own.checkIP(host) !== undefined : own.checkHost(host) !== undefined,
  };
}

/** Returns the outcome of a check, which fails for kinds of keys that TLS doesn't use here. */
function withKnownKind(check: () => boolean, refuse: (reason: string) => never): boolean {
  try {
    return check();
  } catch (error) {
    return refuse(
      `whose kind of key can't be used (${
        messageOf(error)
      }): have one made with ECDSA on P-256, RSA or Ed25519`,
    );
  }
}

/** The names and addresses in a certificate's subjectAltName; names first. */
function namesOf({ subjectAltName = "" }: X509Certificate): string[] {
  const all = (pattern: RegExp) =>
    Array.from((subjectAltName ?? "").matchAll(pattern), ([, name]) => name!);
  return [...all(/DNS:([^,\s]+)/g), ...all(/IP Address:([^,\s]+)/g)];
}

async function readKey(path: string): Promise<string> {
  const refuse = (reason: string): never => {
    throw new UsageError(`${KEY} is ${path}, ${reason}`);
  };
  const info = await Deno.stat(path).catch((error) =>
    refuse(
      error instanceof Deno.errors.NotFound
        ? "which doesn't exist: name the PEM file with the key of hosts.certificate"
        : `which can't be read: ${reasonOf(error)}`,
    )
  );
  if (info.isFile && info.mode !== null && (info.mode & OTHERS) !== 0) {
    refuse("which other users may open: chmod 600 it");
  }
  const bytes = await readRegularFile(path, MAX_BYTES).catch((error) =>
    refuse(`which can't be read: ${reasonOf(error)}`)
  );
  const text = new TextDecoder().decode(bytes);
  if (/ENCRYPTED/.test(text)) {
    refuse(
      'which is encrypted: "openssl pkey -in FILE -out NEW" writes it without a password, for this user alone',
    );
  }
  if (!/-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/.test(text)) {
    refuse('which holds no private key in PEM form ("-----BEGIN PRIVATE KEY-----")');
  }
  try {
    createPrivateKey(text);
  } catch (error) {
    refuse(`whose key is damaged (${messageOf(error)}): copy the file anew`);
  }
  return text;
}

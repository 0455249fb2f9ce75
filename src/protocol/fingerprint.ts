/**
 * The certificate of a server that Lockstep made it for, and its fingerprint, by which a client knows the server.
 *
 * Such a server shows its certificate in the plain first message that every nats-server sends, as a part of its name. A
 * client that was given the fingerprint compares the certificate's, and then trusts in TLS this certificate alone. The
 * certificate is public, so it may be shown to anybody; whoever shows another one has another fingerprint, and whoever
 * copies it lacks its key.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";

/**
 * The one name that self-made certificates are made out to, whatever the addresses of the host. The top-level domain
 * `invalid` is reserved (RFC 6761): no public authority vouches for it.
 */
export const OWN_CERTIFICATE_NAME = "host.lockstep.invalid";

/** Form of a fingerprint: SHA-256 in hexadecimal digits. */
const FINGERPRINT = /^[\da-f]{64}$/;
/** Beginning of the name of a server that shows its certificate. */
const BEGINNING = "lockstep";
const SEPARATOR = ":";
/** Characters of the longest certificate that is looked at; one of Lockstep has some 500. */
const MAX_CHARACTERS = 16_384;

/** A server shows another certificate than the one that was expected, or none. */
export class FingerprintError extends Error {
  override name = "FingerprintError";

  /** @param shown Fingerprint of the certificate that the server shows, if it shows one */
  constructor(readonly expected: string, readonly shown: string | undefined) {
    super("the certificate has another fingerprint");
  }
}

/**
 * Returns the fingerprint of a certificate: the SHA-256 of its DER form, in 64 hexadecimal digits, as `openssl x509
 * -fingerprint -sha256` prints it with colons.
 *
 * @param certificate In PEM form
 */
export function fingerprint(certificate: string): string {
  return createHash("sha256").update(new X509Certificate(certificate).raw).digest("hex");
}

/**
 * Returns a fingerprint in its only form, or nothing if the text is none: colons and upper case are accepted, as other
 * tools write them.
 */
export function parseFingerprint(text: string): string | undefined {
  const digits = text.replaceAll(":", "").toLowerCase();
  return FINGERPRINT.test(digits) ? digits : undefined;
}

/**
 * Returns the name of a server that shows its certificate.
 *
 * @param name A name without colons and spaces
 * @param certificate In PEM form; a server without one has the plain name
 */
export function announcingName(name: string, certificate: string | undefined): string {
  if (certificate === undefined) return name;
  const der = Buffer.from(new X509Certificate(certificate).raw).toString("base64url");
  return [BEGINNING, name, der].join(SEPARATOR);
}

/** Returns the certificate in the name of a server in PEM form; nothing if the name has none that can be read. */
export function announcedCertificate(serverName: string | undefined): string | undefined {
  // What answers may be anything: a name that is no text, too.
  if (typeof serverName !== "string" || serverName.length > MAX_CHARACTERS) return undefined;
  const [beginning, , der, ...rest] = serverName.split(SEPARATOR);
  if (beginning !== BEGINNING || !der || rest.length > 0) return undefined;
  try {
    return new X509Certificate(Buffer.from(der, "base64url")).toString();
  } catch {
    return undefined; // not a certificate: the same as none
  }
}

/**
 * Returns the certificate that a server shows, if it is the expected one.
 *
 * @param serverName The server's name in its first message
 * @param expected Fingerprint of the server's certificate
 * @throws {FingerprintError} When the server shows another certificate or none
 */
export function requireCertificate(serverName: string | undefined, expected: string): string {
  const certificate = announcedCertificate(serverName);
  const shown = certificate === undefined ? undefined : fingerprint(certificate);
  if (certificate !== undefined && shown !== undefined && isEqual(shown, expected)) {
    return certificate;
  }
  throw new FingerprintError(expected, shown);
}

/** Compares in a time that doesn't depend on the texts. */
function isEqual(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

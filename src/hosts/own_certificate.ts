/**
 * Self-made certificates of servers that other hosts connect to.
 *
 * Such a certificate is trusted by its fingerprint alone (`protocol/fingerprint.ts`). So it names no host, and is valid at
 * any time: clocks of hosts that differ make no difference.
 *
 * The certificate of the server that hosts join is derived from the token, with the key. Ed25519 needs no random numbers
 * (RFC 8032), so whoever has the token knows the fingerprint, and a scheduler can start hosts before the coordinator has
 * said anything.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { fingerprint, OWN_CERTIFICATE_NAME } from "../protocol/fingerprint.ts";
import { certificateSeed } from "../protocol/join_token.ts";
import type { ServerCertificate } from "./broker.ts";

const SEED_BYTES = 32;
const SERIAL_BYTES = 16;
/** Width of lines in PEM (RFC 7468). */
const PEM_COLUMNS = 64;

/** Object identifiers of X.520, RFC 5280 and RFC 8410. */
const COMMON_NAME = "2.5.4.3";
const BASIC_CONSTRAINTS = "2.5.29.19";
const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const ED25519 = "1.3.101.112";
/** The type of a DNS name among alternative names. */
const DNS_NAME = 2;
const VERSION_3 = 2;
/** A time with four digits of the year. */
const GENERALIZED_TIME = 1;

const FIRST_DAY = new Date("2000-01-01T00:00:00Z");
/** The time that RFC 5280 (4.1.2.5) has for certificates without an end. */
const LAST_DAY = new Date("9999-12-31T23:59:59Z");

/** Returns the fingerprint of the certificate that {@linkcode makeCertificate} makes of a token. */
export async function ownFingerprint(token: string): Promise<string> {
  return fingerprint((await makeCertificate(token)).certificate);
}

/**
 * Returns a certificate that vouches for itself, with its key (Ed25519).
 *
 * @param token The token that the key is derived from; a new key is drawn without it
 */
export async function makeCertificate(token?: string): Promise<ServerCertificate> {
  const { asn1js, pkijs } = await import("../deps/pkijs.ts");
  const seed = token === undefined ? randomBytes(SEED_BYTES) : certificateSeed(token);
  const pkcs8 = privateKeyInfo(seed);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { x = "" } = await crypto.subtle.exportKey("jwk", key);
  const publicKey = Uint8Array.fromBase64(x, { alphabet: "base64url" });
  const algorithm = new pkijs.AlgorithmIdentifier({ algorithmId: ED25519 });
  const name = new pkijs.GeneralName({ type: DNS_NAME, value: OWN_CERTIFICATE_NAME });
  const extension = (extnID: string, critical: boolean, value: Asn1Value) =>
    new pkijs.Extension({ extnID, critical, extnValue: value.toSchema().toBER(false) });
  const certificate = new pkijs.Certificate({
    version: VERSION_3,
    serialNumber: new asn1js.Integer({ valueHex: await serialNumber(publicKey) }),
    notBefore: new pkijs.Time({ value: FIRST_DAY }),
    notAfter: new pkijs.Time({ type: GENERALIZED_TIME, value: LAST_DAY }),
    subjectPublicKeyInfo: new pkijs.PublicKeyInfo({
      algorithm,
      subjectPublicKey: new asn1js.BitString({ valueHex: publicKey.buffer }),
    }),
    signature: algorithm,
    signatureAlgorithm: algorithm,
    extensions: [
      extension(BASIC_CONSTRAINTS, true, new pkijs.BasicConstraints({ cA: false })),
      extension(SUBJECT_ALTERNATIVE_NAME, false, new pkijs.GeneralNames({ names: [name] })),
    ],
  });
  for (const { typesAndValues } of [certificate.issuer, certificate.subject]) {
    const value = new asn1js.Utf8String({ value: "Lockstep" });
    typesAndValues.push(new pkijs.AttributeTypeAndValue({ type: COMMON_NAME, value }));
  }
  const signed = certificate.encodeTBS().toBER(false);
  const signature = await crypto.subtle.sign("Ed25519", key, signed);
  certificate.signatureValue = new asn1js.BitString({ valueHex: signature });
  const own = pem("CERTIFICATE", new Uint8Array(certificate.toSchema(true).toBER(false)));
  return { certificate: own, key: pem("PRIVATE KEY", pkcs8), name: OWN_CERTIFICATE_NAME, ca: own };
}

/** A part of a certificate. */
interface Asn1Value {
  toSchema(): { toBER(sizeOnly: boolean): ArrayBuffer };
}

/** A private key in its DER form (RFC 8410, section 7): a beginning that is always the same, and the seed. */
function privateKeyInfo(seed: Uint8Array): Uint8Array<ArrayBuffer> {
  const beginning = Uint8Array.fromHex("302e020100300506032b657004220420");
  return Uint8Array.from([...beginning, ...seed]);
}

/** A number that differs between keys, is positive, and has no leading zeros. */
async function serialNumber(publicKey: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const digest = await crypto.subtle.digest("SHA-256", publicKey);
  const bytes = new Uint8Array(digest, 0, SERIAL_BYTES).slice();
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.buffer;
}

function pem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(new RegExp(`.{1,${PEM_COLUMNS}}`, "g")) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

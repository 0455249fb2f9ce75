import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import {
  announcedCertificate,
  announcingName,
  fingerprint,
  OWN_CERTIFICATE_NAME,
  parseFingerprint,
  requireCertificate,
} from "../../src/protocol/fingerprint.ts";
import { makeCertificate, ownFingerprint } from "../../src/hosts/own_certificate.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("makeCertificate() makes a self-signed certificate that names no host and has no end", async () => {
  const { certificate, key, name, ca } = await makeCertificate();
  const read = new X509Certificate(certificate);
  assert.equal(name, OWN_CERTIFICATE_NAME);
  assert.equal(ca, certificate);
  assert.equal(read.ca, false);
  assert.ok(read.verify(read.publicKey), "signed with its own key");
  assert.equal(read.subjectAltName, `DNS:${OWN_CERTIFICATE_NAME}`);
  assert.match(read.validFrom, /2000/);
  assert.match(read.validTo, /9999/);
  assert.match(key, /^-----BEGIN PRIVATE KEY-----\n/);
  const other = await makeCertificate();
  assert.notEqual(fingerprint(other.certificate), fingerprint(certificate));
  assert.notEqual(new X509Certificate(other.certificate).serialNumber, read.serialNumber);
});

Deno.test("makeCertificate() makes the same certificate of the same token, on every host and in every version", async () => {
  const token = "a-token-for-tests-0123456789-abcdefghij";
  const own = await makeCertificate(token);
  assert.deepEqual(await makeCertificate(token), own);
  assert.equal(await ownFingerprint(token), fingerprint(own.certificate));
  // Hosts of one run may have different versions of the libraries: this value must never change.
  assert.equal(
    await ownFingerprint(token),
    "55a1c332f7814510ad3f7ddfbc9796b5f2b554b389ab5ec3e3e4041993392ebe",
  );
  assert.notEqual(await ownFingerprint(`${token}x`), fingerprint(own.certificate));
});

Deno.test("fingerprint() is what openssl prints, and openssl can verify the certificate", {
  ignore: !await hasOpenssl(),
}, () =>
  withTemporaryFolder(async (folder) => {
    const { certificate, key } = await makeCertificate();
    await Deno.writeTextFile(`${folder}/c.pem`, certificate);
    await Deno.writeTextFile(`${folder}/k.pem`, key);
    const printed = await openssl(
      folder,
      "x509",
      "-in",
      "c.pem",
      "-noout",
      "-fingerprint",
      "-sha256",
    );
    assert.equal(parseFingerprint(printed.split("=")[1]!.trim()), fingerprint(certificate));
    const publicKey = await openssl(folder, "pkey", "-in", "k.pem", "-pubout");
    assert.equal(await openssl(folder, "x509", "-in", "c.pem", "-noout", "-pubkey"), publicKey);
    const verified = await openssl(
      folder,
      "verify",
      "-x509_strict",
      "-CAfile",
      "c.pem",
      "-partial_chain",
      "c.pem",
    );
    assert.equal(verified.trim(), "c.pem: OK");
  }));

Deno.test("requireCertificate() takes the certificate with the fingerprint, and no other", async () => {
  const { certificate } = await makeCertificate();
  const { certificate: other } = await makeCertificate();
  const name = announcingName("any-name", certificate);
  assert.doesNotMatch(name, /\s/);
  const expected = fingerprint(certificate);
  assert.equal(fingerprint(requireCertificate(name, expected)), expected);
  const error = { name: "FingerprintError" };
  assert.throws(() => requireCertificate(announcingName("any-name", other), expected), error);
  assert.throws(() => requireCertificate(name, expected.slice(1)), error);
  for (
    const odd of [
      undefined,
      "",
      "NABC",
      "lockstep",
      "lockstep:x",
      "lockstep:x:AAAA",
      `${name}:x`,
      `lockstep:x:${"A".repeat(20_000)}`,
    ]
  ) {
    assert.equal(announcedCertificate(odd), undefined);
    assert.throws(() => requireCertificate(odd, expected), error);
  }
});

Deno.test("parseFingerprint() reads the forms of other tools", () => {
  const digits = "0f".repeat(32);
  for (const text of [digits, digits.toUpperCase(), digits.match(/../g)!.join(":")]) {
    assert.equal(parseFingerprint(text), digits);
  }
  for (const text of ["", digits.slice(1), `${digits}0`, "0g".repeat(32), ` ${digits}`]) {
    assert.equal(parseFingerprint(text), undefined);
  }
});

async function hasOpenssl(): Promise<boolean> {
  return await openssl(".", "version").then(() => true, () => false);
}

async function openssl(cwd: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("openssl", { args, cwd }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

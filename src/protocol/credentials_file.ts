/**
 * Files with the credentials for a nats-server.
 *
 * @module
 */
import { nkeys } from "../deps/nats_core.ts";
import { messageOf, reasonOf, UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { keepSecret } from "../base/secrets.ts";
import { type Credentials, secretOf } from "./credentials.ts";

/** Bytes of the largest file; a JWT has some 2 KB. */
const MAX_BYTES = 64 * 1024;
const JWT = /-----BEGIN NATS USER JWT-----\s+(\S+)\s+-{3,}END NATS USER JWT-{3,}/;
const SEED = /-----BEGIN USER NKEY SEED-----\s+(\S+)\s+-{3,}END USER NKEY SEED-{3,}/;
const FORMS = "a .creds file, the seed of a user's nkey (SU…), user:password, or a token";
/** Permissions of others in a file's mode. */
const OTHERS = 0o007;

/**
 * Reads credentials: a `.creds` file as `nsc` writes it, or one line with the seed of a user's nkey, `user:password` or
 * a token.
 *
 * @param where The setting that names the file, for messages
 * @throws {UsageError} When the file can't be read, is open to other users, or has something else
 */
export async function readCredentials(path: string, where: string): Promise<Credentials> {
  const refuse = (reason: string): never => {
    throw new UsageError(`${where} is ${path}, ${reason}`);
  };
  const info = await Deno.stat(path).catch((error) =>
    refuse(
      error instanceof Deno.errors.NotFound
        ? `which doesn't exist: name a file with ${FORMS}`
        : `which can't be read: ${reasonOf(error)}`,
    )
  );
  if (info.mode !== null && (info.mode & OTHERS) !== 0 && info.isFile) {
    refuse("which other users may open: chmod 600 it");
  }
  const bytes = await readRegularFile(path, MAX_BYTES).catch((error) =>
    refuse(`which can't be read: ${reasonOf(error)}`)
  );
  const credentials = parseCredentials(new TextDecoder().decode(bytes), refuse);
  keepSecret(secretOf(credentials));
  return credentials;
}

function parseCredentials(text: string, refuse: (reason: string) => never): Credentials {
  const [, seed] = SEED.exec(text) ?? [];
  if (text.includes("-----BEGIN")) {
    if (/PRIVATE KEY-----/.test(text)) {
      refuse("which holds a private key of TLS: Lockstep has no certificate of its own to show");
    }
    if (seed === undefined) refuse("which has no user's seed (-----BEGIN USER NKEY SEED-----)");
    checkSeed(seed!, refuse);
    if (!text.includes("-----BEGIN NATS USER JWT-----")) return { nkey: seed! };
    if (!JWT.test(text)) refuse("whose JWT is cut off: copy the file anew");
    return { creds: text };
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const [line = ""] = lines.map((each) => each.trim());
  if (lines.length !== 1) {
    refuse(`which has ${lines.length === 0 ? "nothing" : `${lines.length} lines`}: write ${FORMS}`);
  }
  if (/^S[A-Z][A-Z2-7]{56}$/.test(line)) {
    checkSeed(line, refuse);
    return { nkey: line };
  }
  const at = line.indexOf(":");
  if (at < 0) return { token: line };
  if (at === 0) refuse("which has a password and no user: write user:password");
  return { user: line.slice(0, at), pass: line.slice(at + 1) };
}

/** Refuses a seed that is damaged, or isn't a user's. */
function checkSeed(seed: string, refuse: (reason: string) => never): void {
  let key: string;
  try {
    key = nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
  } catch (error) {
    return refuse(`whose nkey is damaged (${messageOf(error)}): copy the file anew`);
  }
  if (!key.startsWith("U")) refuse("whose nkey is not a user's: name a user's seed, SU…");
}

/**
 * The token with which hosts join a run: a secret in a file of its own, which the coordinator and each host have.
 *
 * The token never travels. Secrets are derived from it (HKDF-SHA-256, RFC 5869): the seed of an nkey, with which a host
 * signs what the server sends it; the key with which the messages are authenticated that a host exchanges with the
 * coordinator before it has the run's key; and the private key of the coordinator's server, unless it was given another.
 *
 * @module
 */
import { hkdfSync, randomBytes, randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { nkeys } from "../deps/nats_core.ts";
import { Codec } from "../deps/nkeys_codec.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { keepSecret } from "../base/secrets.ts";
import { shellWord } from "../base/shell.ts";
import type { Credentials } from "./credentials.ts";

/** Bytes of a token, and of each secret that is derived from it. */
const SECRET_BYTES = 32;
/** The least and the most characters of a token. */
const MIN_CHARACTERS = 32;
const MAX_CHARACTERS = 1024;
/** A token in which fewer characters differ was typed, and not drawn at random. */
const MIN_DISTINCT = 10;
/** Bytes of the largest file that is read. */
const MAX_BYTES = 4096;
const FORM =
  `a token is one line of ${MIN_CHARACTERS} characters or more, such as "openssl rand -hex 32" prints`;
/** Permissions of a group, and of others, in a file's mode. */
const GROUP = 0o070;
const OTHERS = 0o007;

/**
 * Reads a token's file: one line of 32 printable characters or more.
 *
 * @param where The setting that names the file, for messages
 * @throws {UsageError} When the file can't be read, is open to other users, or has no token
 */
export async function readToken(path: string, where = "--token-file"): Promise<string> {
  const refuse = (reason: string): never => {
    throw new UsageError(`${where} is ${path}, ${reason}`);
  };
  const info = await Deno.stat(path).catch((error) =>
    refuse(
      error instanceof Deno.errors.NotFound
        ? "which doesn't exist: copy the file here that the coordinator's host has"
        : `which can't be read: ${reasonOf(error)}`,
    )
  );
  if (info.isFile && isOpenToOthers(info)) {
    refuse(`which other users may open: chmod 600 ${shellWord(path)}`);
  }
  const bytes = await readRegularFile(path, MAX_BYTES).catch((error) =>
    refuse(`which can't be read: ${reasonOf(error)}`)
  );
  return parseToken(bytes, refuse);
}

/** A token that was read, or made. */
export interface TokenFile {
  readonly token: string;
  /** True if the file was made here. */
  readonly isNew: boolean;
}

/**
 * Reads a token's file, and makes it if it is missing.
 *
 * @param where The setting that names the file, for messages
 * @throws {UsageError} When the file can't be read or made, is open to other users, or has no token
 */
export async function ensureToken(path: string, where: string): Promise<TokenFile> {
  if (!await exists(path)) {
    try {
      return { token: await makeToken(path), isNew: true };
    } catch (error) {
      // Another coordinator may have made it in the meantime.
      if (!await exists(path)) throw error;
    }
  }
  return { token: await readToken(path, where), isNew: false };
}

/**
 * Makes a token, and its file, which only this user can read, in a folder that is made if it is missing.
 *
 * @throws {UsageError} When the file is there already, or can't be written
 */
export async function makeToken(path: string): Promise<string> {
  const token = randomBytes(SECRET_BYTES).toString("base64url");
  keepSecret(token);
  try {
    await Deno.mkdir(dirname(path), { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      throw new Error(`${dirname(path)} is a file, where a folder belongs`);
    });
    await writeNewFile(path, `${token}\n`);
  } catch (error) {
    const isThere = error instanceof Deno.errors.AlreadyExists;
    throw new UsageError(
      `Cannot make a token in ${path}: ` +
        (isThere ? "the file is there already: remove it first" : reasonOf(error)),
      { cause: error },
    );
  }
  return token;
}

/** Writes a file that must not be there yet, so that whoever reads it sees all of it. */
async function writeNewFile(path: string, text: string): Promise<void> {
  const options = { createNew: true, mode: 0o600 };
  const part = `${path}.${randomUUID()}.part`;
  try {
    await Deno.writeTextFile(part, text, options);
    await Deno.link(part, path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    await Deno.writeTextFile(path, text, options); // the file system may have no links
  } finally {
    await Deno.remove(part).catch(() => {}); // it may not have been made
  }
}

/** Returns the credentials of a host for the server of the coordinator: an nkey. */
export function hostCredentials(token: string): Credentials & { readonly nkey: string } {
  const seed = Codec.encodeSeed(nkeys.Prefix.User, derive(token, "nkey of hosts"));
  return { nkey: new TextDecoder().decode(seed) };
}

/** Returns the key of the messages between hosts and coordinator before a host is admitted, for `MessageKey`. */
export function lobbyKey(token: string): string {
  return derive(token, "messages of the lobby").toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
}

/** Returns the seed of the private key of the server that hosts join. */
export function certificateSeed(token: string): Uint8Array {
  return derive(token, "key of the server's certificate");
}

function derive(token: string, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", token, "", `lockstep 1: ${purpose}`, SECRET_BYTES));
}

/** A secret that an orchestrator mounts for a group belongs to root: its group may read it. */
function isOpenToOthers({ mode, uid }: Deno.FileInfo): boolean {
  if (mode === null) return false;
  return (mode & OTHERS) !== 0 || ((mode & GROUP) !== 0 && !(uid === 0 && (mode & 0o020) === 0));
}

function parseToken(bytes: Uint8Array, refuse: (reason: string) => never): string {
  const text = new TextDecoder().decode(bytes);
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  const [line = ""] = lines;
  if (lines.length !== 1) {
    refuse(`which has ${lines.length === 0 ? "nothing in it" : `${lines.length} lines`}: ${FORM}`);
  }
  if (!/^[\x21-\x7e]+$/.test(line)) refuse(`whose line has spaces or odd characters: ${FORM}`);
  if (/^(nats|tls):\/\//i.test(line)) {
    refuse("which holds an address: give the address to --join, and name the file with the token");
  }
  if (line.length < MIN_CHARACTERS || new Set(line).size < MIN_DISTINCT) {
    refuse(`whose token can be guessed (${line.length} characters): ${FORM}`);
  }
  if (line.length > MAX_CHARACTERS) refuse(`which has ${line.length} characters: ${FORM}`);
  keepSecret(line);
  return line;
}

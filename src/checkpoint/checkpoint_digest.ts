/**
 * The digest in a checkpoint's description: a flip of any bit of the file is noticed.
 *
 * The last key is `digest`, the SHA-256 of all bytes of the file before that key's line.
 *
 * @module
 */
import { createHash } from "node:crypto";

const TAIL = /^ {2}"digest": "([0-9a-f]{64})"\n}\n$/;
const TAIL_BYTES = '  "digest": ""\n}\n'.length + 64;

/**
 * Encodes a description with its digest.
 *
 * @param info An object with at least one key, without `digest`
 * @returns UTF-8
 */
export function encodeWithDigest(info: object): Uint8Array<ArrayBuffer> {
  const body = JSON.stringify(info, null, 2).replace(/\n}$/, ",\n");
  const digest = sha256(new TextEncoder().encode(body));
  return new TextEncoder().encode(`${body}  "digest": "${digest}"\n}\n`);
}

/** A description as it was read. */
export interface Described {
  /** The JSON's value, without the digest. */
  readonly json: unknown;
  /** `true` where the description has a digest, which is right. */
  readonly hasDigest: boolean;
}

/**
 * Decodes a description, and checks its digest where it has one.
 *
 * @throws {Error} when the digest is wrong
 * @throws {SyntaxError} when it is not JSON
 */
export function decodeWithDigest(bytes: Uint8Array): Described {
  const text = new TextDecoder();
  const at = bytes.length - TAIL_BYTES;
  const saved = at > 0 ? TAIL.exec(text.decode(bytes.subarray(at)))?.[1] : undefined;
  if (saved === undefined) {
    const json = JSON.parse(text.decode(bytes));
    if (Object.hasOwn(json ?? {}, "digest")) {
      throw new Error("checkpoint.json is altered (its last line is not the digest any more)");
    }
    return { json, hasDigest: false };
  }
  if (sha256(bytes.subarray(0, at)) !== saved) {
    throw new Error("checkpoint.json is cut short or altered (its digest differs)");
  }
  const { digest: _, ...json } = JSON.parse(text.decode(bytes));
  return { json, hasDigest: true };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

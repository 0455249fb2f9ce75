/**
 * The address of a coordinator's file server, and the form of its answers.
 *
 * A client asks for files by their rows in the manifest, never by a path: `POST /files` with a {@linkcode FilesRequest}.
 * The answer is, for each file: a frame's head; the file's bytes from the first one that was asked for, or the reason why
 * there are none; behind the bytes, the SHA-256 of the whole file.
 *
 * @module
 */
import { createHmac } from "node:crypto";
import { z } from "../../deps/zod.ts";

/** A transfer failed for a reason of the network, or of the other end: another attempt may succeed. */
export class TransferError extends Error {
  /** Name of the class, for messages. */
  override name = "TransferError";
}

/** Form of a {@linkcode FileSource}. */
export const fileSourceSchema = z.strictObject({
  /** Base addresses of the server, any of which may be out of reach: `https://10.0.0.1:4224`. */
  urls: z.array(z.string()).min(1),
  token: z.string(),
  /** The only authority that is trusted, as PEM; unless given, those of the system. */
  certificate: z.string().nullable(),
  /** The name that the certificate is for; unless given, the address. */
  serverName: z.string().nullable(),
});

/** The address of a file server. */
export type FileSource = Readonly<z.output<typeof fileSourceSchema>>;

/** Paths of the server. */
export const FILES_PATH = "/files", HELLO_PATH = "/hello";

/** Files that one request may ask for. */
export const MAX_ROWS = 1024;

/** Form of a request for files. */
export const filesRequestSchema = z.strictObject({
  /** The manifest that the rows are of. */
  content: z.string(),
  rows: z.array(z.int().nonnegative()).min(1).max(MAX_ROWS),
  /** The first byte of the first file: those before it have come already. */
  from: z.int().nonnegative(),
});

/** A request for files. */
export type FilesRequest = z.output<typeof filesRequestSchema>;

/** Bytes of a SHA-256. */
export const DIGEST_BYTES = 32;

/** Bytes of a frame's head: row and kind (uint32), length of what follows (float64), all little-endian. */
export const HEAD_BYTES = 16;

/** `content`: bytes and their hash follow; `refused`: a reason as UTF-8. */
const KINDS = ["content", "refused"] as const;

/** The head of a frame. */
export interface FrameHead {
  readonly row: number;
  readonly kind: (typeof KINDS)[number];
  /** Bytes that follow, without the hash. */
  readonly bytes: number;
}

/** Encodes a frame's head. */
export function encodeHead({ row, kind, bytes }: FrameHead): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(HEAD_BYTES), view = new DataView(head.buffer);
  view.setUint32(0, row, true);
  view.setUint32(4, KINDS.indexOf(kind), true);
  view.setFloat64(8, bytes, true);
  return head;
}

/** Decodes a frame's head; nothing when it is none. */
export function decodeHead(head: Uint8Array): FrameHead | undefined {
  const view = new DataView(head.buffer, head.byteOffset, HEAD_BYTES);
  const kind = KINDS[view.getUint32(4, true)], bytes = view.getFloat64(8, true);
  if (!kind || !Number.isSafeInteger(bytes) || bytes < 0) return undefined;
  return { row: view.getUint32(0, true), kind, bytes };
}

/** Returns the token of a run's file server, which tells nothing about the run's key. */
export function fileToken(runKey: string): string {
  return createHmac("sha256", runKey).update("lockstep file server").digest("base64url");
}

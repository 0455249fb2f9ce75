/**
 * Hashes of files of any size.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { openRegularFile } from "../base/regular_file.ts";

/** Bytes that are read at a time. */
const CHUNK_BYTES = 1 << 20;

/**
 * A file's hash, in hexadecimal.
 *
 * @param onBytes Told how many bytes are done, again and again
 */
export async function hashOfFile(
  path: string,
  algorithm: "md5" | "sha256",
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash(algorithm);
  using file = await openRegularFile(path);
  const buffer = new Uint8Array(CHUNK_BYTES);
  let bytes = 0;
  for (let count; (count = await file.read(buffer)) !== null;) {
    hash.update(buffer.subarray(0, count));
    onBytes?.(bytes += count);
  }
  return hash.digest("hex");
}

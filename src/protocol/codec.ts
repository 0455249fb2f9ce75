/**
 * A message as bytes: 4 bytes of header length (little-endian), the header as JSON padded with spaces to a
 * multiple of 4 bytes, then the payload.
 *
 * The header holds the payload's CRC-32 (the polynomial of zip and Ethernet: `node:zlib` computes it at
 * memory speed, 380 times as fast as `@aws-crypto/crc32c`, and it finds the same errors: every burst of up to
 * 32 bits, and all but one in 2^32 of the others).
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { LockstepError } from "../base/errors.ts";

/** Something that arrived is not what its sender must have sent; the message names both. */
export class ProtocolError extends LockstepError {
  override name = "ProtocolError";
}

/**
 * Room for the header of a frame that is filled in place; the payload behind it is aligned for float32.
 * The longest header is below 400 bytes.
 */
export const FRAME_HEADER_BYTES = 512;

const LENGTH_BYTES = 4;
const ALIGNMENT = 4;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** CRC-32 of bytes, as an unsigned integer. */
export function checksum(bytes: Uint8Array): number {
  return crc32(bytes) >>> 0;
}

/** A frame in new memory. */
export function encodeFrame(header: object, payload?: Uint8Array): Uint8Array<ArrayBuffer> {
  const json = encoder.encode(JSON.stringify(header));
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const frame = new Uint8Array(LENGTH_BYTES + length + (payload?.length ?? 0));
  fillHeader(frame, json, length);
  if (payload) frame.set(payload, LENGTH_BYTES + length);
  return frame;
}

/**
 * Writes the header into the first {@linkcode FRAME_HEADER_BYTES} of a frame whose payload stands behind
 * them already.
 *
 * @throws {RangeError} When the header doesn't fit
 */
export function writeFrameHeader(frame: Uint8Array, header: object): void {
  const json = encoder.encode(JSON.stringify(header));
  const length = FRAME_HEADER_BYTES - LENGTH_BYTES;
  if (json.length > length) throw new RangeError(`A header of ${json.length} bytes is too long`);
  fillHeader(frame, json, length);
}

function fillHeader(frame: Uint8Array, json: Uint8Array, length: number): void {
  new DataView(frame.buffer, frame.byteOffset).setUint32(0, length, true);
  frame.set(json, LENGTH_BYTES);
  frame.fill(0x20, LENGTH_BYTES + json.length, LENGTH_BYTES + length);
}

/**
 * Splits a frame; the payload is a view of it. The payload's checksum is not checked here.
 *
 * @throws {ProtocolError} When the length or the JSON is not that of a frame
 */
export function decodeFrame(frame: Uint8Array): { header: unknown; payload: Uint8Array } {
  if (frame.length < LENGTH_BYTES) {
    throw new ProtocolError(`A message of ${frame.length} bytes is too short`);
  }
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  const end = LENGTH_BYTES + length;
  if (end > frame.length) {
    throw new ProtocolError(`A header of ${length} bytes in a message of ${frame.length} bytes`);
  }
  try {
    const header: unknown = JSON.parse(decoder.decode(frame.subarray(LENGTH_BYTES, end)));
    return { header, payload: frame.subarray(end) };
  } catch {
    throw new ProtocolError("A header that is not JSON");
  }
}

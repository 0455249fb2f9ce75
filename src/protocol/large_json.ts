/**
 * JSON that is too long for a message goes with the bytes that the message describes.
 *
 * @module
 */
import type { z } from "../deps/zod.ts";
import { ProtocolError } from "./codec.ts";

/** Anything that JSON can hold. */
export type Json = z.core.util.JSONType;

/** JSON of more bytes goes with the payload, whatever the server would let through. */
const MAX_INLINE_BYTES = 16 * 1024;
/** Share of the largest message that JSON may take: the rest of the header needs room too. */
const INLINE_SHARE = 0.5;

/**
 * Returns the bytes of JSON that find room in a message.
 *
 * @param maxPayloadBytes The most bytes that the server accepts in one message
 */
export function inlineBytes(maxPayloadBytes: number): number {
  return Math.min(MAX_INLINE_BYTES, INLINE_SHARE * maxPayloadBytes);
}

/** A value and bytes, as a message carries them. */
export interface PackedJson {
  /** `null` when it is in the payload. */
  readonly value: Json;
  /** Bytes at the payload's end that are the value, as JSON; 0 when the message itself has it. */
  readonly jsonBytes: number;
  readonly payload?: Uint8Array;
}

/**
 * Puts a value behind the payload where it is too long for a message.
 *
 * @param maxPayloadBytes The most bytes that the server accepts in one message
 */
export function packJson(
  value: Json,
  payload: Uint8Array | undefined,
  maxPayloadBytes: number,
): PackedJson {
  const json = new TextEncoder().encode(JSON.stringify(value));
  if (json.length <= inlineBytes(maxPayloadBytes)) {
    return { value, jsonBytes: 0, ...(payload ? { payload } : {}) };
  }
  const before = payload?.length ?? 0;
  const bytes = new Uint8Array(before + json.length);
  if (payload) bytes.set(payload);
  bytes.set(json, before);
  return { value: null, jsonBytes: json.length, payload: bytes };
}

/**
 * Undoes {@linkcode packJson}; the payload is a view of the bytes, at their beginning.
 *
 * @throws {ProtocolError} when there are fewer bytes than the JSON needs, or they are no JSON
 */
export function unpackJson(
  value: Json,
  jsonBytes: number,
  bytes: Uint8Array<ArrayBuffer> | undefined,
): { value: Json; payload?: Uint8Array<ArrayBuffer> } {
  if (jsonBytes === 0) return { value, ...(bytes ? { payload: bytes } : {}) };
  if (!bytes || bytes.length < jsonBytes) {
    const there = bytes?.length ?? 0;
    throw new ProtocolError(
      `A message with JSON of ${jsonBytes} bytes behind it brings ${there} bytes`,
    );
  }
  const end = bytes.length - jsonBytes;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(end));
    return { value: JSON.parse(text) as Json, payload: bytes.subarray(0, end) };
  } catch (error) {
    throw new ProtocolError(`The ${jsonBytes} bytes of JSON behind a message are none`, {
      cause: error,
    });
  }
}

/**
 * A host's share of what all hosts bring together, as bytes.
 *
 * @module
 */
import { itemAt } from "../../base/item_at.ts";
import type { HostRecord } from "../host_link.ts";
import { RECORD_LENGTH, recordsIn } from "../step_record.ts";

/** Returns records as float64 numbers. */
export function encodeRecords(records: readonly HostRecord[]): Uint8Array<ArrayBuffer> {
  const numbers = new Float64Array(records.length * RECORD_LENGTH);
  for (const [at, copy] of recordsIn(numbers).entries()) copy.copy(itemAt(records, at));
  return new Uint8Array(numbers.buffer);
}

/** Reads what {@linkcode encodeRecords} made; the records look at the bytes. */
export function decodeRecords(bytes: Uint8Array<ArrayBuffer>): HostRecord[] {
  return recordsIn(numbersOf(bytes));
}

/** Returns the ranks' vectors as float64 numbers: their lengths, then their values. */
export function encodeValues(vectors: readonly Float64Array[]): Uint8Array<ArrayBuffer> {
  const lengths = vectors.map(({ length }) => length);
  const values = new Float64Array(
    lengths.length + lengths.reduce((sum, length) => sum + length, 0),
  );
  values.set(lengths);
  let at = lengths.length;
  for (const vector of vectors) {
    values.set(vector, at);
    at += vector.length;
  }
  return new Uint8Array(values.buffer);
}

/**
 * Reads what {@linkcode encodeValues} made.
 *
 * @param ranks Number of the vectors
 */
export function decodeValues(bytes: Uint8Array<ArrayBuffer>, ranks: number): Float64Array[] {
  const numbers = numbersOf(bytes);
  let at = ranks;
  return Array.from(numbers.subarray(0, ranks), (length) => numbers.subarray(at, at += length));
}

/** The numbers in bytes that begin a buffer of their own. */
function numbersOf({ buffer, byteLength }: Uint8Array<ArrayBuffer>): Float64Array {
  return new Float64Array(buffer, 0, Math.floor(byteLength / Float64Array.BYTES_PER_ELEMENT));
}

/**
 * Reads TensorBoard's event files, independently of what writes them: its own frame parser, its own CRC (bit by bit,
 * from the polynomial), its own reader of protocol buffers.
 *
 * @module
 */
import assert from "node:assert/strict";

/** CRC-32C by its definition: Castagnoli's polynomial, reflected, one bit at a time. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** The CRC as the record format stores it: rotated by 15 bits, plus a constant. */
function masked(crc: number): number {
  const rotated = BigInt(crc) >> 15n | (BigInt(crc) << 17n & 0xffffffffn);
  return Number(rotated + 0xa282ead8n & 0xffffffffn);
}

/**
 * The data of the records of a file; a part of a record at the end, which a killed process leaves, is none.
 *
 * @throws {AssertionError} when a CRC is wrong
 */
export function readRecords(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    const where = `record ${records.length} at byte ${at}`;
    assert.equal(
      view.getUint32(at + 8, true),
      masked(slowCrc32c(bytes.subarray(at, at + 8))),
      where,
    );
    if (at + 16 + length > bytes.length) break;
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(view.getUint32(at + 12 + length, true), masked(slowCrc32c(data)), where);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

/** A field of a message: numbers as they are, the rest as bytes. */
type Field = { readonly number: number; readonly value: number | bigint | Uint8Array };

/** The fields of a message, in their order. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      assert.ok(at < bytes.length, "a number goes beyond its message");
      const byte = BigInt(bytes[at++]);
      value |= (byte & 127n) << shift;
      if (byte < 128n) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    const kind = tag & 7;
    if (kind === 0) fields.push({ number, value: varint() });
    else if (kind === 1) fields.push({ number, value: view.getFloat64((at += 8) - 8, true) });
    else if (kind === 5) fields.push({ number, value: view.getFloat32((at += 4) - 4, true) });
    else {
      assert.equal(kind, 2, `field ${number} is of a kind that no message here has`);
      const length = Number(varint());
      assert.ok(at + length <= bytes.length, `field ${number} goes beyond its message`);
      fields.push({ number, value: bytes.subarray(at, at += length) });
    }
  }
  return fields;
}

const one = (fields: readonly Field[], number: number) =>
  fields.find((field) => field.number === number)?.value;
const text = (value: unknown) =>
  new TextDecoder("utf-8", { fatal: true }).decode(value as Uint8Array);

/** A value of a summary. */
export interface ReadValue {
  readonly tag: string;
  readonly scalar?: number;
  readonly image?: { width: number; height: number; colours: number; png: Uint8Array };
  readonly text?: string;
}

/** An event. */
export interface ReadEvent {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  readonly sessionStatus?: number;
  readonly values: readonly ReadValue[];
}

/** The events of a file. */
export function readEventFile(bytes: Uint8Array): ReadEvent[] {
  return readRecords(bytes).map((record) => {
    const event = fieldsOf(record);
    const version = one(event, 3);
    const session = one(event, 7);
    const summary = one(event, 5);
    return {
      wallTime: one(event, 1) as number,
      step: Number(one(event, 2) ?? 0n),
      ...(version ? { version: text(version) } : {}),
      ...(session ? { sessionStatus: Number(one(fieldsOf(session as Uint8Array), 1)) } : {}),
      values: summary
        ? fieldsOf(summary as Uint8Array).map(({ value }) => readValue(value as Uint8Array))
        : [],
    };
  });
}

function readValue(bytes: Uint8Array): ReadValue {
  const value = fieldsOf(bytes);
  const tag = text(one(value, 1));
  const scalar = one(value, 2);
  if (scalar !== undefined) return { tag, scalar: scalar as number };
  const image = one(value, 4);
  if (image) {
    const fields = fieldsOf(image as Uint8Array);
    const [height, width, colours] = [1, 2, 3].map((number) => Number(one(fields, number)));
    return { tag, image: { width, height, colours, png: one(fields, 4) as Uint8Array } };
  }
  const plugin = fieldsOf(one(fieldsOf(one(value, 9) as Uint8Array), 1) as Uint8Array);
  assert.equal(text(one(plugin, 1)), "text");
  const tensor = fieldsOf(one(value, 8) as Uint8Array);
  assert.equal(one(tensor, 1), 7n, "a tensor of strings");
  return { tag, text: text(one(tensor, 8)) };
}

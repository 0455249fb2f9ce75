/**
 * Zip archives (APPNOTE 6.3) with the places of all their numbers.
 *
 * @module
 */
import { crc32, deflateRawSync } from "node:zlib";
import { type Field, joined, type Sample } from "./mutations.ts";

/** An entry; its content is compressed where it is to be. */
export interface ZipEntry {
  readonly name: string;
  readonly content: Uint8Array;
  readonly deflate?: boolean;
  /** Unix mode; none unless given. */
  readonly mode?: number;
  readonly flags?: number;
}

const encoder = new TextEncoder();

/** Numbers of a local header: offset and bytes. */
const LOCAL_FIELDS = [[4, 2], [6, 2], [8, 2], [14, 4], [18, 4], [22, 4], [26, 2], [28, 2]] as const;
/** Numbers of an entry of the directory. */
const CENTRAL_FIELDS = [
  ...[[4, 2], [6, 2], [8, 2], [10, 2], [16, 4], [20, 4], [24, 4], [28, 2], [30, 2]] as const,
  ...[[32, 2], [34, 2], [36, 2], [38, 4], [42, 4]] as const,
];
/** Numbers of the record at the end. */
const END_FIELDS = [[4, 2], [6, 2], [8, 2], [10, 2], [12, 4], [16, 4], [20, 2]] as const;

/** Makes an archive. */
export function zipSample(entries: readonly ZipEntry[]): Sample {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  const fields: Field[] = [];
  let at = 0;
  const add = (bytes: Uint8Array, numbers: readonly (readonly [number, 2 | 4])[]) => {
    for (const [offset, width] of numbers) fields.push({ at: at + offset, bytes: width });
    parts.push(bytes);
    at += bytes.length;
  };
  for (const entry of entries) {
    const name = encoder.encode(entry.name);
    const stored = entry.deflate ? new Uint8Array(deflateRawSync(entry.content)) : entry.content;
    const common = new Uint8Array(26);
    const view = new DataView(common.buffer);
    view.setUint16(0, 20, true);
    view.setUint16(2, entry.flags ?? 0, true);
    view.setUint16(4, entry.deflate ? 8 : 0, true);
    view.setUint32(10, crc32(entry.content), true);
    view.setUint32(14, stored.length, true);
    view.setUint32(18, entry.content.length, true);
    view.setUint16(22, name.length, true);
    const central = new Uint8Array(46);
    const facts = new DataView(central.buffer);
    facts.setUint32(0, 0x02014b50, true);
    facts.setUint16(4, entry.mode === undefined ? 20 : 0x0314, true);
    central.set(common, 6);
    facts.setUint32(38, ((entry.mode ?? 0) << 16) >>> 0, true);
    facts.setUint32(42, at, true);
    directory.push(joined(central, name));
    add(joined(Uint8Array.of(0x50, 0x4b, 3, 4), common, name, stored), LOCAL_FIELDS);
  }
  const start = at;
  for (const central of directory) add(central, CENTRAL_FIELDS);
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, entries.length, true);
  view.setUint16(10, entries.length, true);
  view.setUint32(12, at - start, true);
  view.setUint32(16, start, true);
  add(end, END_FIELDS);
  return { bytes: joined(...parts), fields };
}

/**
 * Real images of every format that is read, with the places of their numbers.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import type { Field, Sample } from "./mutations.ts";

const FOLDER = new URL("../fixtures/data/pictures/", import.meta.url);
const SMALL_JPEGS = new URL("../fixtures/data/jpegs/", import.meta.url);

/** An image file. */
export interface ImageSample extends Sample {
  readonly name: string;
}

/** Reads all samples. */
export async function readImages(): Promise<ImageSample[]> {
  const names = (await Array.fromAsync(Deno.readDir(FOLDER))).map(({ name }) => name).sort();
  const read = async (url: URL, name: string) => {
    const bytes = await Deno.readFile(new URL(name, url));
    return { name, bytes, fields: fieldsOf(bytes) };
  };
  return await Promise.all([
    ...names.map((name) => read(FOLDER, name)),
    ...["tiny.jpg", "whole_blocks.jpg", "wide.jpg"].map((name) => read(SMALL_JPEGS, name)),
  ]);
}

/** Sizes, lengths and counts of a file's header. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Field[] = [];
  if (bytes[0] === 0x89) {
    fields.push({ at: 16, bytes: 4, isBig: true }, { at: 20, bytes: 4, isBig: true });
    fields.push({ at: 24, bytes: 1 }, { at: 25, bytes: 1 }, { at: 28, bytes: 1 });
    for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
      fields.push({ at, bytes: 4, isBig: true });
    }
  } else if (bytes[0] === 0xff) {
    for (
      let at = 2;
      at + 10 < bytes.length && bytes[at] === 0xff;
      at += 2 + view.getUint16(at + 2)
    ) {
      fields.push({ at: at + 1, bytes: 1 }, { at: at + 2, bytes: 2, isBig: true });
      const marker = bytes[at + 1]!;
      if (marker >= 0xc0 && marker <= 0xc2) {
        fields.push({ at: at + 5, bytes: 2, isBig: true }, { at: at + 7, bytes: 2, isBig: true });
        for (let part = 4; part < 20; part++) fields.push({ at: at + part, bytes: 1 });
      }
      if (marker === 0xda) break;
    }
  } else if (bytes[0] === 0x47) {
    for (const at of [6, 8, bytes.indexOf(0x2c, 13) + 5, bytes.indexOf(0x2c, 13) + 7]) {
      fields.push({ at, bytes: 2 });
    }
    fields.push({ at: 10, bytes: 1 });
  } else if (bytes[0] === 0x42) {
    for (const at of [2, 10, 14, 18, 22, 30, 34, 46]) fields.push({ at, bytes: 4 });
    for (const at of [26, 28]) fields.push({ at, bytes: 2 });
  } else {
    fields.push({ at: 4, bytes: 4 }, { at: 24, bytes: 3 }, { at: 27, bytes: 3 }, {
      at: 26,
      bytes: 2,
    });
    for (let at = 12; at + 8 <= bytes.length;) {
      const length = view.getUint32(at + 4, true);
      fields.push({ at: at + 4, bytes: 4 }, { at: at + 9, bytes: 4 }, { at: at + 14, bytes: 4 });
      fields.push({ at: at + 8 + 6, bytes: 3 }, { at: at + 8 + 9, bytes: 3 });
      at += 8 + length + length % 2;
    }
  }
  return fields;
}

/** Gives the chunks of a PNG their right checksums: else every change would end at the first of them. */
export function mendChecksums(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes[0] !== 0x89) return bytes;
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) break;
    view.setUint32(at + 8 + length, crc32(bytes.subarray(at + 4, at + 8 + length)));
    at += 12 + length;
  }
  return bytes;
}

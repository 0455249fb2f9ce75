/**
 * Tar archives (POSIX.1-2001, ustar) whose headers say whatever they are told to, with the right checksum.
 *
 * @module
 */
import { joined } from "./mutations.ts";

const BLOCK = 512;
const encoder = new TextEncoder();

/** A member of an archive. */
export interface TarMember {
  readonly name: string;
  readonly content: Uint8Array;
  /** Type: `0` a file, `5` a folder, `2` a link, `x` extended attributes of the next one. */
  readonly type?: string;
  /** The size field as it is written; that of the content unless given. */
  readonly size?: string;
  readonly link?: string;
  readonly prefix?: string;
  readonly magic?: string;
}

/** Makes an archive, with the two empty blocks at its end. */
export function tarSample(members: readonly TarMember[]): Uint8Array<ArrayBuffer> {
  return joined(
    ...members.flatMap((member) => [header(member), padded(member.content)]),
    new Uint8Array(2 * BLOCK),
  );
}

function header(member: TarMember): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const { name, content, type = "0", link = "", prefix = "", magic = "ustar\0" + "00" } = member;
  const { size = `${content.length.toString(8).padStart(11, "0")}\0` } = member;
  const put = (at: number, text: string, length: number) =>
    block.set(encoder.encode(text).subarray(0, length), at);
  put(0, name, 100);
  put(100, "0000644\0", 8);
  put(108, "0000000\0", 8);
  put(116, "0000000\0", 8);
  put(124, size, 12);
  put(136, "00000000000\0", 12);
  put(156, type, 1);
  put(157, link, 100);
  put(257, magic, 8);
  put(345, prefix, 155);
  return withChecksum(block);
}

/** Gives a header its right checksum. */
function withChecksum(block: Uint8Array): Uint8Array {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

/** Gives all headers their right checksums, as far as their sizes lead from one to the next. */
export function mendTar(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  for (let at = 0; at + BLOCK <= bytes.length;) {
    const block = bytes.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) break;
    withChecksum(block);
    const size = parseInt(new TextDecoder().decode(block.subarray(124, 136)), 8);
    at += BLOCK + BLOCK * Math.ceil((size >= 0 ? size : 0) / BLOCK);
  }
  return bytes;
}

/** An extended attribute, with its length before it. */
export function paxRecord(key: string, value: string): Uint8Array {
  const rest = encoder.encode(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length++;
  return joined(encoder.encode(`${length}`), rest);
}

function padded(content: Uint8Array): Uint8Array {
  return joined(content, new Uint8Array((BLOCK - content.length % BLOCK) % BLOCK));
}

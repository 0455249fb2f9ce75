/**
 * A look at the file of a shared library before the system's loader maps it: a file that is cut short would end the
 * process by SIGBUS, without a word.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { formatBytes } from "../../base/format.ts";
import { openRegularFileSync } from "../../base/regular_file.ts";

/** `\x7fELF`, of 64 bits, little-endian: the only kind that is looked at. */
const ELF_64 = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
const HEAD_BYTES = 64;
/** Offsets in the head: of the place of the table of segments, of the size of its entries, and of their number. */
const AT = { table: 32, entryBytes: 54, entries: 56 };
/** Offsets in an entry, and the type of segments that are mapped. */
const SEGMENT = { type: 0, offset: 8, bytes: 32 };
const LOADED = 1;
/** More segments than any library has. */
const MAX_TABLE_BYTES = 65_536;

/**
 * Checks that a file of a shared library reaches as far as the segments that the loader maps. Files that are no
 * libraries of a known kind are left to the loader's error.
 *
 * @throws {LockstepError} when it is shorter
 */
export function requireWholeLibrary(path: string): void {
  using file = openRegularFileSync(path, { read: true });
  const { size } = file.statSync();
  const head = readAt(file, 0, HEAD_BYTES);
  if (head.byteLength < HEAD_BYTES) return;
  if (ELF_64.some((byte, index) => head.getUint8(index) !== byte)) return;
  const entryBytes = head.getUint16(AT.entryBytes, true);
  const tableBytes = entryBytes * head.getUint16(AT.entries, true);
  const tableAt = Number(head.getBigUint64(AT.table, true));
  if (tableBytes > MAX_TABLE_BYTES || entryBytes < SEGMENT.bytes + 8) return;
  let needed = tableAt + tableBytes;
  if (needed <= size) {
    const table = readAt(file, tableAt, tableBytes);
    for (let at = 0; at < tableBytes; at += entryBytes) {
      if (table.getUint32(at + SEGMENT.type, true) !== LOADED) continue;
      const end = table.getBigUint64(at + SEGMENT.offset, true) +
        table.getBigUint64(at + SEGMENT.bytes, true);
      needed = Math.max(needed, Number(end));
    }
  }
  if (needed > size) {
    throw new LockstepError(
      `the file is cut short: it has ${formatBytes(size)}, and needs at least ${
        formatBytes(needed)
      }`,
    );
  }
}

function readAt(file: Deno.FsFile, offset: number, length: number): DataView {
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = file.readSync(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return new DataView(bytes.buffer, 0, filled);
}

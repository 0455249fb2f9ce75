/**
 * The entries of a tar archive, one after the other, without holding more of it than a few blocks.
 *
 * @module
 */
import { createReadStream } from "node:fs";
import { requireRegularFileSync } from "../base/regular_file.ts";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { createTarDecoder, type ParsedTarEntry } from "../deps/modern_tar.ts";
import type { ArchiveEntry, EntryKind } from "./unpacked_folder.ts";

const CHUNK_BYTES = 1 << 18;

/** Options for reading. */
export interface TarOptions {
  readonly gzipped: boolean;
  /** Bytes that the files may be; headers and padding may be as much again. */
  readonly maxBytes: number;
  /** Told how many bytes of the archive's file are read. */
  readonly onBytes: (bytes: number) => void;
}

const KINDS: Record<string, EntryKind> = {
  file: "file",
  directory: "folder",
  symlink: "symbolic link",
  link: "hard link",
  "character-device": "device",
  "block-device": "device",
  fifo: "pipe",
};

/**
 * Reads a tar archive from its beginning to its end. Each entry has to be copied or left before the next.
 *
 * @throws {Error} when the archive is cut short, damaged, or inflates to more than it may
 */
export async function* tarEntries(
  archive: string,
  options: TarOptions,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  const decoder = createTarDecoder({ strict: true }); // a wrong checksum or a missing end is an error
  requireRegularFileSync(archive);
  const file = createReadStream(archive, { highWaterMark: CHUNK_BYTES });
  const feeding = feed(file, decoder.writable, options);
  feeding.catch(() => {}); // the reader sees the same error
  const reader = decoder.readable.getReader();
  try {
    for (let next; !(next = await reader.read()).done;) yield toEntry(next.value);
    await feeding; // what follows the last entry must be sound too: gzip's checksum stands at the end
  } finally {
    // Neither is waited for: who stops early leaves a feeder that waits for a reader that is gone.
    reader.cancel("done").catch(() => {}); // it has failed or ended
    await closed(file);
  }
}

/** Closes a file, wherever its reader stands. */
async function closed(file: Readable): Promise<void> {
  file.destroy();
  if (!file.closed) await new Promise((resolve) => file.once("close", resolve));
}

/** Sends the archive's bytes, inflated where they are gzipped, to the decoder. */
async function feed(
  file: Readable,
  target: WritableStream<Uint8Array>,
  { gzipped, maxBytes, onBytes }: TarOptions,
): Promise<void> {
  let read = 0;
  file.on("data", (chunk: Uint8Array) => onBytes(read += chunk.length));
  const source = gzipped
    ? pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => {}) // its error comes below
    : file;
  const writer = target.getWriter();
  let bytes = 0;
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > 2 * maxBytes + CHUNK_BYTES) {
        throw new Error(`it inflates to more than ${2 * maxBytes} bytes, the most that is read`);
      }
      await writer.write(new Uint8Array(chunk));
    }
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {}); // closed already by the error that it reports
    throw error;
  }
}

function toEntry({ header, body }: ParsedTarEntry): ArchiveEntry {
  const { name, type = "file", size, pax = {} } = header;
  // GNU's older kind of sparse file can't be told apart here: it comes without its zeros.
  const sparse = Object.keys(pax).some((key) => key.startsWith("GNU.sparse."));
  return {
    name,
    kind: sparse ? "sparse file" : KINDS[type] ?? "device",
    bytes: size,
    copy: async (write) => {
      for await (const chunk of body) await write(chunk);
    },
  };
}

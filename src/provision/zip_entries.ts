/**
 * The entries of a zip archive, one after the other.
 *
 * @module
 */
import { configure, type Entry, ZipReader } from "../deps/zip.ts";
import { FileReader } from "./file_reader.ts";
import type { ArchiveEntry, EntryKind } from "./unpacked_folder.ts";

/** Bits of a Unix mode that say what a file is, and what they are for plain files. */
const TYPE_BITS = 0o170000;
const PLAIN_FILE = 0o100000;

/**
 * Reads a zip archive by its directory. Each file's CRC-32 is checked as it is copied.
 *
 * @param onBytes Told how many compressed bytes are done
 * @throws {Error} when the archive is cut short or damaged
 */
export async function* zipEntries(
  archive: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  configure({ useWebWorkers: false });
  using file = new FileReader(archive);
  // Names are judged where they are used, which can tell which entry it is.
  const zip = new ZipReader(file, { filenameValidation: "tolerant", checkSignature: true });
  let done = 0;
  for await (const entry of zip.getEntriesGenerator()) {
    yield toEntry(entry);
    onBytes(done += entry.compressedSize);
  }
  await zip.close();
}

function toEntry(entry: Entry): ArchiveEntry {
  const name = withSlashes(entry.filename);
  const kind = kindOf(entry);
  return {
    name,
    kind: kind === "file" && name.endsWith("/") ? "folder" : kind,
    bytes: entry.uncompressedSize,
    copy: async (write) => {
      if (entry.directory) return;
      await entry.getData(new WritableStream<Uint8Array>({ write }), { checkSignature: true });
    },
  };
}

/** Some Windows programs write `\\` between names, where the format wants `/` (APPNOTE 4.4.17.1). */
function withSlashes(name: string): string {
  return name.includes("/") ? name : name.replaceAll("\\", "/");
}

function kindOf({ directory, encrypted, symlink, unixMode }: Entry): EntryKind {
  if (symlink) return "symbolic link";
  if (directory) return "folder";
  if (encrypted) return "encrypted file";
  const type = (unixMode ?? 0) & TYPE_BITS;
  return type === 0 || type === PLAIN_FILE ? "file" : "device";
}

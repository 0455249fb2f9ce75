/**
 * `torch.save`'s zip format (PyTorch 1.6 and later): `<name>/data.pkl`, and `<name>/data/<key>` per storage.
 *
 * PyTorch stores the entries uncompressed, so that they are views into the file's bytes here.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { type Entry, Uint8ArrayReader, ZipReader } from "../deps/zip.ts";

/** The reason why an archive is refused, as part of a message. */
export class ArchiveError extends Error {
  /** @param cure Replaces the usual one: a phrase for the end of the message */
  constructor(message: string, readonly cure?: string) {
    super(message);
  }
}

const ZIP_START = [0x50, 0x4b, 0x03, 0x04];

/** Tells whether a file starts like a zip archive. */
export function isZip(bytes: Uint8Array): boolean {
  return ZIP_START.every((byte, i) => bytes[i] === byte);
}

const PICKLE_NAME = "/data.pkl";
const STORED = 0;
/** Far above any real file; 512 layers make some 3,000 entries. */
const MAX_ENTRIES = 200_000;
const LOCAL_HEADER_BYTES = 30;
const LOCAL_HEADER_SIGNATURE = 0x04034b50;

/** The archive's entries, read on demand. */
export class TorchArchive {
  private constructor(
    private readonly bytes: Uint8Array,
    private readonly entries: ReadonlyMap<string, Entry>,
    /** Name of the folder that the entries lie in. */
    private readonly folder: string,
  ) {}

  /**
   * Reads the archive's directory.
   *
   * @throws {ArchiveError} when it is not one that torch.save wrote
   */
  static async open(bytes: Uint8Array): Promise<TorchArchive> {
    const entries = await readDirectory(bytes);
    const pickles = [...entries.keys()].filter((name) =>
      name.endsWith(PICKLE_NAME) && name.indexOf("/") === name.length - PICKLE_NAME.length
    );
    const [pickle] = pickles;
    if (pickle === undefined || pickles.length > 1) {
      throw new ArchiveError("it is a zip archive without the data.pkl that torch.save writes");
    }
    const folder = pickle.slice(0, -PICKLE_NAME.length);
    if (entries.has(`${folder}/constants.pkl`)) {
      throw new ArchiveError(
        "it is a TorchScript program, not a state dict",
        "load it in Python with torch.jit.load and save its state_dict() with torch.save",
      );
    }
    const archive = new TorchArchive(bytes, entries, folder);
    archive.#checkByteOrder();
    return archive;
  }

  /** The pickle that describes what was saved. */
  pickle(): Uint8Array {
    return this.#content(PICKLE_NAME.slice(1));
  }

  /** The bytes of a storage, which must be `length`. */
  storage(key: string, length: number): Uint8Array {
    const content = this.#content(`data/${key}`);
    if (content.length !== length) {
      throw new ArchiveError(
        `its storage ${key} should have ${length} bytes, and has ${content.length}`,
      );
    }
    return content;
  }

  #checkByteOrder(): void {
    if (!this.entries.has(`${this.folder}/byteorder`)) return; // PyTorch before 2.1 wrote none
    const order = new TextDecoder().decode(this.#content("byteorder"));
    if (order !== "little") throw new ArchiveError("its numbers are not little-endian");
  }

  /** An entry's bytes, as a view into the file. */
  #content(name: string): Uint8Array {
    const entry = this.entries.get(`${this.folder}/${name}`);
    if (!entry) throw new ArchiveError(`its entry ${name} is missing`);
    if (entry.encrypted || entry.compressionMethod !== STORED) {
      throw new ArchiveError(
        `its entry ${name} is compressed or encrypted, which torch.save never does`,
      );
    }
    const { bytes } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { offset, uncompressedSize: size } = entry;
    if (offset + LOCAL_HEADER_BYTES > bytes.length || entry.compressedSize !== size) {
      throw new ArchiveError(`its entry ${name} has a size or place that can't be`);
    }
    const isHeader = view.getUint32(offset, true) === LOCAL_HEADER_SIGNATURE;
    const nameLength = view.getUint16(offset + 26, true);
    const extraLength = view.getUint16(offset + 28, true);
    const start = offset + LOCAL_HEADER_BYTES + nameLength + extraLength;
    if (!isHeader || start + size > bytes.length) {
      throw new ArchiveError(`its entry ${name} doesn't lie within the file`);
    }
    const content = bytes.subarray(start, start + size);
    // PyTorch writes 0 where set_crc32_options(False) switched the checksums off.
    if (entry.signature !== 0 && crc32(content) !== entry.signature) {
      throw new ArchiveError(`its entry ${name} is altered (the CRC-32 differs)`);
    }
    return content;
  }
}

/** The signature of the record at an archive's end, which lies within the last 64 KiB and 22 bytes. */
const END_SIGNATURE = [0x50, 0x4b, 0x05, 0x06];
const MAX_END_BYTES = 2 ** 16 + 22;

function hasEnd(bytes: Uint8Array): boolean {
  for (let i = bytes.length - 22; i >= Math.max(0, bytes.length - MAX_END_BYTES); i--) {
    if (END_SIGNATURE.every((byte, k) => bytes[i + k] === byte)) return true;
  }
  return false;
}

async function readDirectory(bytes: Uint8Array): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  if (!hasEnd(bytes)) {
    throw new ArchiveError(
      `it is cut short: after ${bytes.length} bytes the directory of its zip archive is missing`,
      "copy or fetch the whole file again",
    );
  }
  const reader = new ZipReader(new Uint8ArrayReader(bytes), { useWebWorkers: false });
  for await (const entry of reader.getEntriesGenerator()) {
    if (entries.has(entry.filename)) throw new ArchiveError("it has two entries of one name");
    entries.set(entry.filename, entry);
    if (entries.size > MAX_ENTRIES) {
      throw new ArchiveError(`it has more than ${MAX_ENTRIES} entries`);
    }
  }
  return entries;
}

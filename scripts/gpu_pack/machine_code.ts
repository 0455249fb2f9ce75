/**
 * Zeroes the machine code for other GPUs in a library, so that the library packs into less.
 *
 * CUDA libraries carry their kernels in containers ("fatbins"), each with an entry for every GPU architecture and with
 * PTX for newer ones. The driver takes the entry that fits the GPU and never looks at the others. Positions and sizes
 * stay as they are.
 *
 * @module
 */

/** First bytes of a container: 0xBA55ED50. */
const MAGIC = [0x50, 0xed, 0x55, 0xba];
/** Magic, version and size of the header (16 bits each), size of the entries (64 bits). */
const HEADER_BYTES = 16;
/** Kind, size of the header and of the payload, architecture, and more. */
const MIN_ENTRY_BYTES = 40;
const [PTX, MACHINE_CODE] = [1, 2];
/** Bytes that are searched at first. */
const MIN_CHUNK_BYTES = 4096;
/** Bytes that are searched or zeroed at a time at most. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** An entry of a container. */
interface Entry {
  readonly kind: number;
  /** Compute capability times 10, such as 90. */
  readonly architecture: number;
  readonly begin: number;
  readonly bytes: number;
}

/** The bytes of kernels in a library. */
export interface KernelBytes {
  readonly kept: number;
  readonly zeroed: number;
}

/**
 * Zeroes the payloads of all entries but those that some GPUs take.
 *
 * @param path The library, which is changed in place
 * @param architectures Compute capabilities times 10 of the GPUs; none zeroes all kernels
 */
export async function zeroOtherKernels(
  path: string,
  architectures: readonly number[],
): Promise<KernelBytes> {
  using file = await Deno.open(path, { read: true, write: true });
  const { size } = await file.stat();
  let [kept, zeroed] = [0, 0];
  for (let at = await findMagic(file, 0); at >= 0; at = await findMagic(file, at)) {
    const container = await readContainer(file, at, size);
    if (!container) {
      at += MAGIC.length; // bytes that only look like one
      continue;
    }
    const needed = neededEntries(container.entries, architectures);
    for (const entry of container.entries) {
      if (needed.has(entry)) kept += entry.bytes;
      else {
        await zero(file, entry.begin, entry.bytes);
        zeroed += entry.bytes;
      }
    }
    at = container.end;
  }
  return { kept, zeroed };
}

/**
 * Returns the entries that GPUs take: machine code of the same major version with the largest minor one that isn't
 * above the GPU's; where there is none, the newest PTX that isn't above it. Kinds of entries that aren't known are kept,
 * unless no kernel is wanted.
 */
function neededEntries(entries: readonly Entry[], architectures: readonly number[]): Set<Entry> {
  if (architectures.length === 0) return new Set();
  const needed = new Set(entries.filter(({ kind }) => kind !== PTX && kind !== MACHINE_CODE));
  for (const gpu of architectures) {
    const fitting = (wanted: number, test: (architecture: number) => boolean) => {
      const found = entries.filter(({ kind, architecture }) =>
        kind === wanted && architecture <= gpu && test(architecture)
      );
      const newest = Math.max(...found.map(({ architecture }) => architecture));
      return found.filter(({ architecture }) => architecture === newest);
    };
    const major = Math.floor(gpu / 10);
    const code = fitting(MACHINE_CODE, (architecture) => Math.floor(architecture / 10) === major);
    for (const entry of code.length > 0 ? code : fitting(PTX, () => true)) needed.add(entry);
  }
  return needed;
}

/** Returns the position of the next container's first byte; -1 when there is none. */
async function findMagic(file: Deno.FsFile, from: number): Promise<number> {
  const overlap = MAGIC.length - 1;
  let size = MIN_CHUNK_BYTES; // containers mostly follow one another
  for (let begin = from;; begin += size - overlap, size = Math.min(2 * size, CHUNK_BYTES)) {
    const chunk = await readAt(file, begin, size);
    for (let at = chunk.indexOf(MAGIC[0]!); at >= 0; at = chunk.indexOf(MAGIC[0]!, at + 1)) {
      if (MAGIC.every((byte, index) => chunk[at + index] === byte)) return begin + at;
    }
    if (chunk.length < size) return -1;
  }
}

/** Reads the entries' headers of a container; undefined when it is none. */
async function readContainer(
  file: Deno.FsFile,
  at: number,
  size: number,
): Promise<{ entries: Entry[]; end: number } | undefined> {
  const header = viewOf(await readAt(file, at, HEADER_BYTES));
  if (header.byteLength < HEADER_BYTES || header.getUint16(4, true) !== 1) return undefined;
  const headerBytes = header.getUint16(6, true);
  const end = at + headerBytes + Number(header.getBigUint64(8, true));
  if (headerBytes < HEADER_BYTES || end > size) return undefined;
  const entries: Entry[] = [];
  for (let next = at + headerBytes; next < end;) {
    const entry = viewOf(await readAt(file, next, MIN_ENTRY_BYTES));
    if (entry.byteLength < MIN_ENTRY_BYTES) return undefined;
    const entryBytes = entry.getUint32(4, true);
    const bytes = Number(entry.getBigUint64(8, true));
    const begin = next + entryBytes;
    if (entryBytes < MIN_ENTRY_BYTES || begin + bytes > end) return undefined;
    entries.push({
      kind: entry.getUint16(0, true),
      architecture: entry.getUint32(28, true),
      begin,
      bytes,
    });
    next = begin + bytes;
  }
  return { entries, end };
}

async function readAt(file: Deno.FsFile, at: number, bytes: number): Promise<Uint8Array> {
  await file.seek(at, Deno.SeekMode.Start);
  const memory = new Uint8Array(bytes);
  let count = 0;
  while (count < bytes) {
    const read = await file.read(memory.subarray(count));
    if (read === null) break;
    count += read;
  }
  return memory.subarray(0, count);
}

async function zero(file: Deno.FsFile, begin: number, bytes: number): Promise<void> {
  await file.seek(begin, Deno.SeekMode.Start);
  const zeros = new Uint8Array(Math.min(bytes, CHUNK_BYTES));
  for (let left = bytes; left > 0;) {
    left -= await file.write(zeros.subarray(0, Math.min(left, zeros.length)));
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

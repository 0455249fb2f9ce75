/**
 * The images of a folder as columns of numbers and one run of names, all in one piece of memory: about 50 bytes per
 * image, which other processes of the machine can map instead of scanning the folder themselves.
 *
 * The memory holds, each part at a multiple of 8 bytes: the length of the head (8 bytes); the head, JSON; sizes and
 * times of change (float64); the ends of the names, folders and labels (uint32); the names (UTF-8). The rows are the
 * training images, then the validation images.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { LazyList } from "../../base/lazy_list.ts";
import type { FileFacts, FileTable, SampleList } from "./image_set.ts";

/** The facts about a table's images as a whole. */
export interface TableHead {
  /** Names of the classes, by label. */
  readonly classes: readonly string[];
  /** Folders of the images, relative to the root; empty for the root itself. */
  readonly folders: readonly string[];
  /** Rows that train; the others validate. */
  readonly train: number;
  readonly rows: number;
  /** SHA-256 in hexadecimal over side, label, path and size of each row. */
  readonly fingerprint: string;
  readonly nameBytes: number;
}

interface Columns {
  readonly bytes: Float64Array<ArrayBuffer>;
  readonly modified: Float64Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
  readonly folder: Uint32Array<ArrayBuffer>;
  readonly label: Uint32Array<ArrayBuffer>;
  readonly names: Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** Rows whose text is hashed at a time. */
const HASHED_ROWS = 4096;
/** Ends of names are 32-bit numbers. */
const MAX_NAME_BYTES = 2 ** 32 - 1;

/** The images of a folder, in their order. */
export class SampleTable implements FileTable {
  readonly head: TableHead;
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #columns: Columns;
  #index: Uint32Array | undefined;

  /** @param memory As another table's {@linkcode SampleTable.memory} */
  constructor(memory: Uint8Array<ArrayBuffer>) {
    const { buffer, byteOffset } = memory;
    const [headBytes = 0] = new Uint32Array(buffer, byteOffset, 1);
    this.head = JSON.parse(decoder.decode(memory.subarray(8, 8 + headBytes)));
    this.memory = memory;
    this.#columns = columnsAt(memory, 8 + roundUp(headBytes), this.head);
  }

  get length(): number {
    return this.head.rows;
  }

  /** The images that train, or those that validate. */
  side(side: "train" | "val"): SampleList {
    const { train, rows } = this.head;
    const [first, end] = side === "train" ? [0, train] : [train, rows];
    return new LazyList(end - first, (index) => ({
      path: this.path(first + index),
      label: this.label(first + index),
      index,
    }));
  }

  /** Path of a row's image relative to the root. */
  path(row: number): string {
    return pathIn(this.#columns, this.head.folders, row);
  }

  label(row: number): number {
    return this.#columns.label[row]!;
  }

  /** Size of a row's file; −1 when it can't be opened. */
  bytes(row: number): number {
    return this.#columns.bytes[row]!;
  }

  /** The facts about the file of a row. */
  at(row: number): FileFacts | undefined {
    if (row < 0 || row >= this.length) return undefined;
    return {
      side: row < this.head.train ? "train" : "val",
      label: this.label(row),
      path: this.path(row),
      bytes: this.bytes(row),
      modified: this.#columns.modified[row]!,
    };
  }

  *[Symbol.iterator](): Iterator<FileFacts> {
    for (let row = 0; row < this.length; row++) yield this.at(row)!;
  }

  /** The row of a path on one side; −1 where there is none. */
  rowOf(side: "train" | "val", path: string): number {
    const index = this.#index ??= this.#makeIndex();
    const mask = index.length - 1;
    for (let slot = hashOf(side, path) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const row = index[slot]! - 1;
      if ((row < this.head.train) === (side === "train") && this.path(row) === path) return row;
    }
    return -1;
  }

  /** Returns a copy without times of change, which differ between copies of the same files. */
  withoutTimes(): SampleTable {
    const copy = new SampleTable(this.memory.slice());
    copy.#columns.modified.fill(0);
    return copy;
  }

  /** An open hash table of the rows, counted from 1. */
  #makeIndex(): Uint32Array {
    let size = 2;
    while (size < 2 * this.length) size *= 2;
    const index = new Uint32Array(size);
    for (let row = 0; row < this.length; row++) {
      let slot = hashOf(row < this.head.train ? "train" : "val", this.path(row)) & (size - 1);
      while (index[slot] !== 0) slot = (slot + 1) & (size - 1);
      index[slot] = row + 1;
    }
    return index;
  }
}

/** FNV-1a over the UTF-16 units. */
function hashOf(side: "train" | "val", path: string): number {
  let hash = side === "train" ? 0x811c9dc5 : 0x050c5d1f;
  for (let at = 0; at < path.length; at++) {
    hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  }
  return (hash ^ hash >>> 15) >>> 0;
}

/** Gathers the rows of a table. */
export class SampleTableBuilder {
  readonly #folders: string[] = [];
  readonly #places = new Map<string, number>();
  #columns: Columns = makeColumns(1024, 1024 * 24);
  #rows = 0;
  #nameBytes = 0;

  get length(): number {
    return this.#rows;
  }

  /** Adds an image; returns its row. */
  add(folder: string, name: string, label: number): number {
    this.#reserve(3 * name.length);
    const row = this.#rows++, { ends, names } = this.#columns;
    this.#nameBytes += encoder.encodeInto(name, names.subarray(this.#nameBytes)).written;
    if (this.#nameBytes > MAX_NAME_BYTES) throw new RangeError("There are too many images");
    ends[row] = this.#nameBytes;
    this.#columns.folder[row] = this.#placeOf(folder);
    this.#columns.label[row] = label;
    this.setFile(row, -1, 0);
    return row;
  }

  /** Sets size and time of change of a row's file. */
  setFile(row: number, bytes: number, modified: number): void {
    this.#columns.bytes[row] = bytes;
    this.#columns.modified[row] = modified;
  }

  /**
   * Makes the table.
   *
   * @param order The rows in their final order; as they were added unless given
   * @param train Rows at the begin of the order that train
   */
  finish(
    { classes, train, order }: { classes: readonly string[]; train: number; order?: Uint32Array },
  ): SampleTable {
    const rows = this.#rows, from = this.#columns;
    const head: TableHead = {
      ...{ classes, folders: this.#folders, train, rows },
      fingerprint: "".padEnd(64, "0"), // of the same length as the one that takes its place
      nameBytes: this.#nameBytes,
    };
    const text = encoder.encode(JSON.stringify(head));
    const begin = 8 + roundUp(text.length);
    const memory = new Uint8Array(begin + columnBytes(head));
    new Uint32Array(memory.buffer, 0, 1)[0] = text.length;
    memory.set(text, 8);
    const to = columnsAt(memory, begin, head);
    let end = 0;
    for (let row = 0; row < rows; row++) {
      const own = order ? order[row]! : row;
      const name = from.names.subarray(own === 0 ? 0 : from.ends[own - 1], from.ends[own]);
      to.names.set(name, end);
      to.ends[row] = end += name.length;
      to.folder[row] = from.folder[own]!;
      to.label[row] = from.label[own]!;
      to.bytes[row] = from.bytes[own]!;
      to.modified[row] = from.modified[own]!;
    }
    const fingerprint = fingerprintOf(new SampleTable(memory));
    memory.set(encoder.encode(JSON.stringify({ ...head, fingerprint })), 8);
    return new SampleTable(memory);
  }

  /** Path of a row's image relative to the root. */
  path(row: number): string {
    return pathIn(this.#columns, this.#folders, row);
  }

  #placeOf(folder: string): number {
    const known = this.#places.get(folder);
    if (known !== undefined) return known;
    this.#places.set(folder, this.#folders.length);
    return this.#folders.push(folder) - 1;
  }

  #reserve(moreNameBytes: number): void {
    const { bytes, names } = this.#columns;
    const roomy = this.#nameBytes + moreNameBytes <= names.length;
    if (this.#rows < bytes.length && roomy) return;
    const larger = makeColumns(
      this.#rows < bytes.length ? bytes.length : 2 * bytes.length,
      roomy ? names.length : 2 * (names.length + moreNameBytes),
    );
    for (const [key, column] of Object.entries(this.#columns)) {
      larger[key as keyof Columns].set(column);
    }
    this.#columns = larger;
  }
}

/** Side, label, path and size of each row as text: the same as before there were tables, for older runs. */
function fingerprintOf(table: SampleTable): string {
  const hash = createHash("sha256");
  let text = "";
  for (let row = 0; row < table.length; row++) {
    const side = row < table.head.train ? "train" : "val";
    text += `${side}\0${table.label(row)}\0${table.path(row)}\0${table.bytes(row)}\n`;
    if ((row + 1) % HASHED_ROWS > 0) continue;
    hash.update(text);
    text = "";
  }
  return hash.update(text).digest("hex");
}

function pathIn(
  { ends, folder, names }: Columns,
  folders: readonly string[],
  row: number,
): string {
  const name = decoder.decode(names.subarray(row === 0 ? 0 : ends[row - 1], ends[row]));
  const above = folders[folder[row]!];
  return above ? `${above}/${name}` : name;
}

function makeColumns(rows: number, nameBytes: number): Columns {
  const head = { rows, nameBytes };
  return columnsAt(new Uint8Array(columnBytes(head)), 0, head);
}

type Extent = Pick<TableHead, "rows" | "nameBytes">;

function columnBytes({ rows, nameBytes }: Extent): number {
  return 2 * 8 * rows + 3 * roundUp(4 * rows) + roundUp(nameBytes);
}

function columnsAt(
  { buffer, byteOffset }: Uint8Array<ArrayBuffer>,
  begin: number,
  { rows, nameBytes }: Extent,
): Columns {
  let at = byteOffset + begin;
  const take = (bytes: number) => (at += bytes) - bytes;
  const float64 = () => new Float64Array(buffer, take(8 * rows), rows);
  const uint32 = () => new Uint32Array(buffer, take(roundUp(4 * rows)), rows);
  return {
    bytes: float64(),
    modified: float64(),
    ends: uint32(),
    folder: uint32(),
    label: uint32(),
    names: new Uint8Array(buffer, at, nameBytes),
  };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

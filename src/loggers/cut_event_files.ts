/**
 * Takes events back out of TensorBoard's files, for a run that goes on from before them.
 *
 * @module
 */
import { join } from "node:path";
import { BinaryReader, WireType } from "../deps/protobuf_wire.ts";
import { readRegularFileSync } from "../base/regular_file.ts";
import { maskedCrc } from "./event_file.ts";

/** The position of a summary in its file, and the tags of its values. */
export interface SummaryPosition {
  /** Steps of the whole run. */
  readonly step: number;
  readonly tags: readonly string[];
}

/** Bytes of a record around its data. */
const FRAME = 16;

/**
 * Cuts each event file of a folder off before the first summary that `isUndone` picks, and a half record of a killed
 * process with it. Files that hold something else stay as they are.
 *
 * @param folder May be missing
 */
export function cutEventFiles(
  folder: string,
  isUndone: (summary: SummaryPosition) => boolean,
): void {
  for (const name of eventFiles(folder)) {
    const path = join(folder, name);
    const bytes = readRegularFileSync(path);
    const length = keptLength(bytes, isUndone);
    if (length < bytes.length) Deno.truncateSync(path, length);
  }
}

function eventFiles(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)]
      .filter(({ name, isFile }) => isFile && name.startsWith("events.out.tfevents."))
      .map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Bytes up to the first undone summary, or up to the last whole record. */
function keptLength(bytes: Uint8Array, isUndone: (summary: SummaryPosition) => boolean): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0;;) {
    if (at + FRAME > bytes.length) return at;
    const length = Number(view.getBigUint64(at, true));
    const isFrame = view.getUint32(at + 8, true) === maskedCrc(bytes.subarray(at, at + 8));
    if (!isFrame) return bytes.length; // altered: TensorBoard reads up to here, too
    if (at + FRAME + length > bytes.length) return at;
    const summary = readSummary(bytes.subarray(at + 12, at + 12 + length));
    if (summary && isUndone(summary)) return at;
    at += FRAME + length;
  }
}

/** The place of an `Event` that is a summary; other events have none. */
function readSummary(data: Uint8Array): SummaryPosition | undefined {
  const reader = new BinaryReader(data);
  let step = 0;
  let tags: string[] | undefined;
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 2 && type === WireType.Varint) step = Number(reader.int64());
    else if (number === 5) tags = readTags(reader.bytes());
    else reader.skip(type);
  }
  return tags && { step, tags };
}

/** The tags of a `Summary`'s values. */
function readTags(summary: Uint8Array): string[] {
  const reader = new BinaryReader(summary);
  const tags: string[] = [];
  while (reader.pos < reader.len) {
    const [, type] = reader.tag();
    if (type !== WireType.LengthDelimited) {
      reader.skip(type);
      continue;
    }
    const value = new BinaryReader(reader.bytes());
    while (value.pos < value.len) {
      const [number, kind] = value.tag();
      if (number === 1 && kind === WireType.LengthDelimited) tags.push(value.string());
      else value.skip(kind);
    }
  }
  return tags;
}

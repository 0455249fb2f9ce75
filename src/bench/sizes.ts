/**
 * Sizes and counts as people write and read them: `44.7MB`, `1MB,4MB`, `1MB..256MB`.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";

const UNITS: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};
const HOW = "write sizes such as 44.7MB, 16MiB or 4096B";
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
/** More would be a typing error, and run for hours. */
const MAX_SIZES = 64;

/**
 * Reads a list of sizes; `A..B` doubles from A on and ends with B.
 *
 * @returns Bytes, each a whole number of float32 values
 * @throws {UsageError} naming the part that is no size
 */
export function parseSizes(text: string): number[] {
  const sizes = text.split(",").flatMap((part) => {
    const [first, last, ...more] = part.split("..").map((size) => parseSize(size));
    if (more.length > 0) {
      throw new UsageError(`"${part}" has more than one "..": write a range such as 1MB..256MB`);
    }
    return last === undefined ? [first] : doublings(first, last, part);
  });
  if (sizes.length > MAX_SIZES) {
    throw new UsageError(`"${text}" are ${sizes.length} sizes: give at most ${MAX_SIZES}`);
  }
  return sizes;
}

/**
 * Reads one size.
 *
 * @returns Bytes
 * @throws {UsageError} when it is none, or not a whole number of float32 values
 */
export function parseSize(text: string): number {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toUpperCase()];
  if (factor === undefined) throw new UsageError(`"${text}" is not a size: ${HOW}`);
  const bytes = Math.round(Number(number) * factor);
  if (bytes < FLOAT_BYTES || bytes % FLOAT_BYTES !== 0) {
    const nearest = Math.max(FLOAT_BYTES, FLOAT_BYTES * Math.round(bytes / FLOAT_BYTES));
    throw new UsageError(
      `"${text}" is ${bytes} bytes, not a whole number of float32 values: write ${nearest}B`,
    );
  }
  return bytes;
}

function doublings(first: number, last: number, part: string): number[] {
  if (first > last) throw new UsageError(`"${part}" goes down: write the smaller size first`);
  const sizes: number[] = [];
  for (let size = first; size < last; size *= 2) sizes.push(size);
  return [...sizes, last];
}

/**
 * Reads a list of whole numbers, such as `1,2,4`: sorted, each once.
 *
 * @param flag Name of the flag, for the message
 * @throws {UsageError} naming what is no such number
 */
export function parseCounts(flag: string, text: string): number[] {
  const counts = text.split(",").map((part) => {
    const count = Number(part);
    if (!/^\s*\d+\s*$/.test(part) || count < 1) {
      throw new UsageError(
        `--${flag} is ${text}: give whole numbers of at least 1, such as 1,2,4`,
      );
    }
    return count;
  });
  return [...new Set(counts)].sort((a, b) => a - b);
}

/** Bytes for people, in decimal units: `44.7 MB`. */
export function sizeText(bytes: number): string {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["KB", 1e3]] as const) {
    if (bytes >= factor) return `${Number((bytes / factor).toPrecision(3))} ${unit}`;
  }
  return `${bytes} B`;
}

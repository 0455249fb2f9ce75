/**
 * The header of a PNG file, and the metadata in its chunks.
 *
 * @module
 */
import { constants, inflateSync } from "node:zlib";
import { messageOf } from "../../base/errors.ts";
import { orientationFrom } from "./exif.ts";
import { HeaderError } from "./header_error.ts";

/** Bytes that compressed text may inflate to, all together; Pillow's limit of a single chunk. */
const MAX_TEXT_BYTES = 2 ** 20;

const RAW_EXIF = "Raw profile type exif";
const XMP = "XML:com.adobe.xmp";

const NONE = new Uint8Array();

/** The metadata that gives the image's orientation. */
interface Metadata {
  exif?: Uint8Array;
  /** EXIF data as ImageMagick writes them: a name, a length, hexadecimal digits. */
  rawExif?: string;
  xmp?: string | Uint8Array;
  /** Bytes of text that were inflated. */
  inflated: number;
}

/**
 * Reads the size and the orientation. The first chunk has the size; metadata may follow anywhere: an `eXIf`
 * chunk, or text (`tEXt`, `zTXt`, `iTXt`) with XMP or a raw EXIF profile.
 *
 * @throws {HeaderError} when the first chunk isn't IHDR, or compressed text inflates to more than a MiB
 */
export function readPngHeader(view: DataView, bytes: Uint8Array) {
  const size = readPngSize(view, bytes);
  const found: Metadata = { inflated: 0 };
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = latin1(bytes.subarray(at + 4, at + 8));
    if (kind === "IEND") break;
    READERS[kind]?.(bytes.subarray(at + 8, at + 8 + length), found);
    at += 12 + length;
  }
  const { exif, rawExif, xmp } = found;
  const raw = exif === undefined && rawExif !== undefined ? fromHex(rawExif) : undefined;
  return { ...size, orientation: orientationFrom(exif ?? raw, xmp) };
}

/**
 * The size of a PNG of which the first bytes are known.
 *
 * @throws {RangeError} when more bytes are needed
 * @throws {HeaderError} when the first chunk isn't IHDR
 */
export function readPngSize(view: DataView, bytes: Uint8Array): { width: number; height: number } {
  const width = view.getUint32(16), height = view.getUint32(20);
  if (latin1(bytes.subarray(12, 16)) !== "IHDR") {
    throw new HeaderError("it is damaged: a PNG file that doesn't begin with its size");
  }
  return { width, height };
}

/** Chunks with metadata (PNG, third edition, 11.3). */
const READERS: Record<string, (chunk: Uint8Array, found: Metadata) => void> = {
  eXIf(chunk, found) {
    found.exif = chunk;
  },
  tEXt(chunk, found) {
    const [keyword, text] = splitAtZero(chunk);
    if (latin1(keyword) === "exif") found.exif = text;
    else keep(latin1(keyword), () => latin1(text), found);
  },
  zTXt(chunk, found) {
    const [keyword, compressed] = splitAtZero(chunk);
    const name = latin1(keyword);
    if (compressed[0]) return; // another method than the one there is
    keep(name, () => latin1(inflated(name, compressed.subarray(1), found) ?? NONE), found);
  },
  iTXt(chunk, found) {
    const [keyword, rest] = splitAtZero(chunk);
    const name = latin1(keyword);
    if (name !== XMP && name !== RAW_EXIF) return;
    const [compressed, method] = rest;
    const [, translated] = splitAtZero(rest.subarray(2)); // the language
    const [, packed] = splitAtZero(translated);
    if (compressed && method !== 0) return;
    const text = compressed ? inflated(name, packed, found) : packed;
    if (text) keep(name, () => utf8(text) ?? text, found);
  },
};

/** Keeps a text that may tell how the image lies; no other is inflated or decoded. */
function keep(keyword: string, text: () => string | Uint8Array, found: Metadata): void {
  if (keyword === XMP) found.xmp = text();
  if (keyword === RAW_EXIF) {
    const profile = text();
    if (typeof profile === "string") found.rawExif = profile;
  }
}

/** The bytes before and behind the first zero. */
function splitAtZero(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  const at = bytes.indexOf(0);
  return at < 0
    ? [bytes, bytes.subarray(bytes.length)]
    : [bytes.subarray(0, at), bytes.subarray(at + 1)];
}

/**
 * Inflates a text, of one that is cut off what there is.
 *
 * @returns Nothing when it is damaged
 * @throws {HeaderError} when the file's texts inflate to more than {@linkcode MAX_TEXT_BYTES}
 */
function inflated(keyword: string, compressed: Uint8Array, found: Metadata) {
  const tooMuch = new HeaderError(
    `its compressed text "${keyword}" inflates to more than ${MAX_TEXT_BYTES} bytes`,
  );
  if (compressed.length === 0) return NONE;
  try {
    const maxOutputLength = MAX_TEXT_BYTES - found.inflated;
    if (maxOutputLength < 1) throw tooMuch;
    const text = inflateSync(compressed, { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH });
    found.inflated += text.length;
    return text;
  } catch (error) {
    if (error instanceof RangeError || /larger than/.test(messageOf(error))) throw tooMuch;
    if (error instanceof HeaderError) throw error;
    return undefined;
  }
}

/** The bytes of a raw profile: three lines, then hexadecimal digits; none when they are others. */
function fromHex(profile: string): Uint8Array {
  const digits = profile.split("\n").slice(3).join("");
  if (!/^(?:\s*[0-9a-f]{2})*\s*$/i.test(digits)) return Uint8Array.of(0); // damaged: upright
  const pairs = digits.match(/[0-9a-f]{2}/gi) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

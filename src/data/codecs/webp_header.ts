/**
 * The header of a WebP file (RFC 9649).
 *
 * @module
 */
import { orientationFrom } from "./exif.ts";
import { HeaderError } from "./header_error.ts";
import { firstWebpFrame } from "./webp_frame.ts";

/** Bits of an extended header that announce chunks; libwebp passes over what isn't announced. */
const EXIF_FLAG = 0x08;
const XMP_FLAG = 0x04;

const CHUNK_HEADER = 8;

/**
 * Reads the size, in one of three ways, and the orientation, which an extended file may have.
 *
 * @throws {HeaderError} when the first frame reaches out of the canvas, whatever the canvas' size
 */
export function readWebpHeader(view: DataView, bytes: Uint8Array) {
  const size = readWebpSize(view, bytes);
  if (!isExtended(bytes)) return { ...size, orientation: 1 };
  requireInside(view, bytes, size);
  return { ...size, orientation: orientationOf(view, bytes) };
}

/**
 * The size of a WebP file of which the first bytes are known: of an extended one the canvas'.
 *
 * @throws {RangeError} when more bytes are needed
 */
export function readWebpSize(view: DataView, bytes: Uint8Array): { width: number; height: number } {
  if (!isExtended(bytes)) return frameSize(view, 12);
  return {
    width: 1 + (view.getUint32(24, true) & 0xffffff),
    height: 1 + (view.getUint32(26, true) >>> 8),
  };
}

function isExtended(bytes: Uint8Array): boolean {
  return nameAt(bytes, 12) === "VP8X";
}

/** The decoder takes memory for the frame, not for the canvas: so the frame's size must be known too. */
function requireInside(
  view: DataView,
  bytes: Uint8Array,
  canvas: { width: number; height: number },
): void {
  const { at, left, top, said } = firstWebpFrame(bytes);
  const frame = frameSize(view, at);
  const fits = left + frame.width <= canvas.width && top + frame.height <= canvas.height;
  const asSaid = !said || (said.width === frame.width && said.height === frame.height);
  const whole = said || (frame.width === canvas.width && frame.height === canvas.height);
  if (fits && asSaid && whole) return;
  throw new HeaderError(
    `it is damaged: its frame has ${frame.width} × ${frame.height} pixels` +
      (left || top ? ` from (${left}, ${top}) on` : "") +
      (asSaid ? "" : `, announced as ${said.width} × ${said.height}`) +
      `, its canvas ${canvas.width} × ${canvas.height}`,
  );
}

/** The size in the head of a lossy or lossless stream of pixels. */
function frameSize(view: DataView, chunk: number): { width: number; height: number } {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const kind = nameAt(bytes, chunk);
  const data = chunk + CHUNK_HEADER;
  if (kind === "VP8L") {
    const bits = view.getUint32(data + 1, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  if (kind !== "VP8 ") throw new HeaderError("it is damaged: a WebP file without an image");
  return {
    width: view.getUint16(data + 6, true) & 0x3fff,
    height: view.getUint16(data + 8, true) & 0x3fff,
  };
}

function orientationOf(view: DataView, bytes: Uint8Array): number {
  const flags = view.getUint8(20);
  const end = Math.min(bytes.length, 8 + view.getUint32(4, true));
  const found: Record<string, Uint8Array> = {};
  for (let at = 12; at + CHUNK_HEADER <= end;) {
    const length = view.getUint32(at + 4, true);
    found[nameAt(bytes, at)] ??= bytes.subarray(at + CHUNK_HEADER, at + CHUNK_HEADER + length);
    at += CHUNK_HEADER + length + length % 2;
  }
  return orientationFrom(
    flags & EXIF_FLAG ? found["EXIF"] : undefined,
    flags & XMP_FLAG ? found["XMP "] : undefined,
  );
}

function nameAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

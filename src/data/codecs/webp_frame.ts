/**
 * The first frame of a WebP file, and the simplest WebP file that holds it.
 *
 * @module
 */

/** A frame, and where it stands on the image. */
export interface WebpFrame {
  /** The offset of the chunk with the pixels in the whole file. */
  readonly at: number;
  /** Its length with the chunk's header, without padding. */
  readonly length: number;
  /** Pixels from the image's top left corner. */
  readonly left: number;
  readonly top: number;
  /** Of an animation: the size that is announced before the frame's chunks. */
  readonly said?: { readonly width: number; readonly height: number };
}

/** Bytes of a chunk's name and length. */
const CHUNK_HEADER = 8;
/** Bytes of an animation frame before its chunks: place, size, duration and flags. */
const FRAME_HEADER = 16;
/** The bit of a lossless stream's header that says that its alpha channel counts. */
const ALPHA_BIT = 0x10;

/**
 * Finds the first frame's pixels (RFC 9649).
 *
 * @param bytes A whole WebP file
 * @throws {RangeError} when the file is cut off before the frame, or has none
 */
export function firstWebpFrame(bytes: Uint8Array): WebpFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let left = 0, top = 0;
  let said: WebpFrame["said"];
  for (let at = 12;;) {
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    if (name === "ANMF") {
      // Offsets are 24 bits and count in steps of two pixels.
      left = 2 * (view.getUint32(at + CHUNK_HEADER, true) & 0xffffff);
      top = 2 * (view.getUint32(at + CHUNK_HEADER + 2, true) >>> 8);
      said = {
        width: 1 + (view.getUint32(at + CHUNK_HEADER + 6, true) & 0xffffff),
        height: 1 + (view.getUint32(at + CHUNK_HEADER + 8, true) >>> 8),
      };
      at += CHUNK_HEADER + FRAME_HEADER;
      continue;
    }
    if (name === "VP8 " || name === "VP8L") {
      return { at, length: CHUNK_HEADER + length, left, top, ...(said ? { said } : {}) };
    }
    at += CHUNK_HEADER + length + length % 2;
  }
}

/**
 * Copies a frame's pixels. TensorFlow's decoder wants the number of channels to be the file's own and
 * decodes all frames at once: without alpha and other frames that is settled.
 *
 * @returns A WebP file without alpha, animation or metadata
 * @throws {RangeError} when the file is cut off before the frame's end
 */
export function webpOfFrame(
  bytes: Uint8Array,
  { at, length }: WebpFrame,
): Uint8Array<ArrayBuffer> {
  // The last chunk's padding byte is sometimes missing.
  if (at + length > bytes.length) throw new RangeError("cut off");
  const file = new Uint8Array(12 + length + length % 2);
  file.set(new TextEncoder().encode("RIFF....WEBP"));
  new DataView(file.buffer).setUint32(4, file.length - 8, true);
  file.set(bytes.subarray(at, at + length), 12);
  const flags = 12 + CHUNK_HEADER + 4;
  if (file[15] === 0x4c && flags < file.length) file[flags]! &= ~ALPHA_BIT; // VP8L
  return file;
}

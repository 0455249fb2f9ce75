/**
 * The first frame of a WebP file as the simplest WebP file that holds it.
 *
 * @module
 */

/** A frame, and where it stands on the picture. */
export interface WebpFrame {
  /** A WebP file without alpha, animation or metadata. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Pixels from the picture's top left corner. */
  readonly left: number;
  readonly top: number;
}

/** Bytes of a chunk's name and length. */
const CHUNK_HEADER = 8;
/** Bytes of an animation frame before its chunks: place, size, duration and flags. */
const FRAME_HEADER = 16;
/** The bit of a lossless stream's header that says that its alpha channel counts. */
const ALPHA_BIT = 0x10;

/**
 * Copies the first frame's pixels (RFC 9649). TensorFlow's decoder wants the number of channels to be the
 * file's own and decodes all frames at once: without alpha and other frames that is settled.
 *
 * @param bytes A whole WebP file
 * @throws {RangeError} when the file is cut off before the frame's end, or has none
 */
export function firstWebpFrame(bytes: Uint8Array): WebpFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let left = 0, top = 0;
  for (let at = 12;;) {
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    if (name === "ANMF") {
      // Offsets are 24 bits and count in steps of two pixels.
      left = 2 * (view.getUint32(at + CHUNK_HEADER, true) & 0xffffff);
      top = 2 * (view.getUint32(at + CHUNK_HEADER + 2, true) >>> 8);
      at += CHUNK_HEADER + FRAME_HEADER;
      continue;
    }
    const end = at + CHUNK_HEADER + length + length % 2;
    if (name === "VP8 " || name === "VP8L") {
      // The last chunk's padding byte is sometimes missing.
      if (end - length % 2 > bytes.length) throw new RangeError("cut off");
      const file = alone(bytes.subarray(at, end), end - at);
      if (name === "VP8L") file[12 + CHUNK_HEADER + 4] &= ~ALPHA_BIT;
      return { bytes: file, left, top };
    }
    at = end;
  }
}

function alone(chunk: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(12 + length);
  file.set(new TextEncoder().encode("RIFF....WEBP"));
  new DataView(file.buffer).setUint32(4, 4 + length, true);
  file.set(chunk, 12);
  return file;
}

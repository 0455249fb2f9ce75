/**
 * The unusual traits of an image's pixels, by its header: Lockstep makes 8-bit RGB of everything, and users
 * should know of what.
 *
 * @module
 */
import type { ImageFormat, ImageHeader } from "../data/codecs/image_header.ts";

/** A property of an image that isn't kept as it is. */
export type ImageTrait = "turned" | "cmyk" | "deep" | "alpha" | "animated";

/**
 * Looks at an image that was decoded, so that its structure is sound.
 *
 * @param bytes The whole file
 */
export function imageTraits(bytes: Uint8Array, header: ImageHeader): ImageTrait[] {
  const traits = READERS[header.format](bytes, header);
  return header.orientation > 1 ? ["turned", ...traits] : traits;
}

/**
 * Returns the reason why a JPEG's kind isn't supported; nothing when the kind is (ITU-T T.81, table B.1).
 *
 * @param bytes The whole file
 */
export function rareJpegKind(bytes: Uint8Array, { frame }: ImageHeader): string | undefined {
  if (frame === undefined) return undefined;
  const [marker, precision] = [bytes[frame + 1], bytes[frame + 4]];
  if (precision !== 8) return `a JPEG of ${precision} bits per channel`;
  if ([0xc3, 0xc7, 0xcb, 0xcf].includes(marker)) return "a lossless JPEG";
  if ([0xc5, 0xc6, 0xcd, 0xce].includes(marker)) return "a hierarchical JPEG";
  return undefined;
}

/**
 * Tells whether a file ends before its image does, as far as its structure tells: for messages about files
 * that couldn't be decoded.
 *
 * @param bytes The whole file
 */
export function isCutOff(bytes: Uint8Array, { format, frame = 0 }: ImageHeader): boolean {
  switch (format) {
    case "jpeg":
      for (let at = bytes.lastIndexOf(0xd9); at > frame; at = bytes.lastIndexOf(0xd9, at - 1)) {
        if (bytes[at - 1] === 0xff) return false; // the end of the image
      }
      return true;
    case "png":
      return !pngChunks(bytes).some(({ kind, whole }) => kind === "IEND" && whole);
    case "webp":
      return 8 + viewOf(bytes).getUint32(4, true) > bytes.length;
    default:
      return false;
  }
}

type Reader = (bytes: Uint8Array, header: ImageHeader) => ImageTrait[];

const READERS: Record<ImageFormat, Reader> = {
  jpeg: (bytes, { frame }) => frame !== undefined && bytes[frame + 9] === 4 ? ["cmyk"] : [],
  png: pngTraits,
  webp: webpTraits,
  gif: gifTraits,
  bmp: () => [], // 32 bits nearly never mean transparency
};

/** Bit depth and colour type stand in the first chunk (RFC 2083, 4.1.1). */
function pngTraits(bytes: Uint8Array): ImageTrait[] {
  const [depth, colour] = [bytes[24], bytes[25]];
  const kinds = pngChunks(bytes).map(({ kind }) => kind);
  const hasAlpha = (colour & 4) !== 0 || kinds.includes("tRNS");
  return [
    ...(depth === 16 ? ["deep" as const] : []),
    ...(hasAlpha ? ["alpha" as const] : []),
    ...(kinds.includes("acTL") ? ["animated" as const] : []),
  ];
}

/** The chunks of a PNG, as far as they go. */
function pngChunks(bytes: Uint8Array): { kind: string; whole: boolean }[] {
  const view = viewOf(bytes);
  const chunks: { kind: string; whole: boolean }[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 12 + view.getUint32(at);
    chunks.push({ kind: textAt(bytes, at + 4), whole: end <= bytes.length });
    at = end;
  }
  return chunks;
}

/** Flags of the extended format, or the bit for alpha of the lossless one (RFC 9649). */
function webpTraits(bytes: Uint8Array): ImageTrait[] {
  const kind = textAt(bytes, 12);
  if (kind === "VP8L") return (bytes[24] & 0x10) !== 0 ? ["alpha"] : [];
  if (kind !== "VP8X") return [];
  return [
    ...((bytes[20] & 0x10) !== 0 ? ["alpha" as const] : []),
    ...((bytes[20] & 0x02) !== 0 ? ["animated" as const] : []),
  ];
}

/** Number of frames, and whether the first has a transparent colour, block by block (GIF89a, sections 20 to 27). */
function gifTraits(bytes: Uint8Array): ImageTrait[] {
  let frames = 0;
  let transparent = false;
  const table = (packed: number) => packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0;
  let at = 13 + table(bytes[10]);
  while (at < bytes.length && frames < 2) {
    if (bytes[at] === 0x21) {
      if (frames === 0 && bytes[at + 1] === 0xf9) transparent = (bytes[at + 3] & 1) === 1;
      at = endOfBlocks(bytes, at + 2);
    } else if (bytes[at] === 0x2c) {
      frames++;
      at = endOfBlocks(bytes, at + 11 + table(bytes[at + 9]));
    } else break;
  }
  return [
    ...(transparent ? ["alpha" as const] : []),
    ...(frames > 1 ? ["animated" as const] : []),
  ];
}

function endOfBlocks(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at];
  return at + 1;
}

function textAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

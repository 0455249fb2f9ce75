/**
 * The test whether a part of a JPEG can be decoded alone, with the pixels and the errors of the whole.
 *
 * @module
 */

/** Start of frame: Huffman-coded and sequential (ITU-T T.81, table B.1). */
const SEQUENTIAL = [0xc0, 0xc1];
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

/** Horizontal and vertical factors of the first component, one byte: 4:4:4, 4:2:2, 4:2:0. */
const LUMA_SAMPLING = [0x11, 0x21, 0x22];
const CHROMA_SAMPLING = 0x11;

/**
 * Tells whether the decoder may leave out the surroundings of a part: only where it decodes row by row,
 * in one scan with grey or three colours.
 *
 * A decoder that stops after the part doesn't see that the file is cut off or damaged further down, and
 * whether an image can be used must not depend on the part: so the scan has to be followed to the end of
 * the image first. In a scan 0xff stands before a marker, or before 0 (T.81, B.1.1.5).
 *
 * @param bytes The whole file
 * @param frame The offset of the start of frame's marker
 */
export function canDecodePart(bytes: Uint8Array, frame: number): boolean {
  const byteAt = (at: number) => bytes[at] ?? -1;
  if (!SEQUENTIAL.includes(byteAt(frame + 1)) || !isCommon(bytes, frame + 9)) return false;
  const components = byteAt(frame + 9);
  let at = frame;
  while (at + 3 < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== START_OF_SCAN) {
    at += 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
  }
  if (bytes[at] !== 0xff || bytes[at + 1] !== START_OF_SCAN) return false;
  if (bytes[at + 4] !== components) return false;
  return scanIsWhole(bytes, at + 2);
}

/** @param at The offset of the number of components; three bytes for each follow */
function isCommon(bytes: Uint8Array, at: number): boolean {
  const components = bytes[at];
  if (components === 1) return true;
  const sampling = (component: number) => bytes[at + 2 + component * 3] ?? -1;
  return components === 3 && LUMA_SAMPLING.includes(sampling(0)) &&
    sampling(1) === CHROMA_SAMPLING && sampling(2) === CHROMA_SAMPLING;
}

/** Tells whether the next marker, but for those that restart the decoder, ends the image. */
function scanIsWhole(bytes: Uint8Array, start: number): boolean {
  for (let at = bytes.indexOf(0xff, start); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next === undefined) return false;
    const passes = next === 0 || next === 0xff || (next >= 0xd0 && next <= 0xd7);
    if (!passes) return next === END_OF_IMAGE;
  }
  return false;
}

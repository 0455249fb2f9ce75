/**
 * The orientation in EXIF data.
 *
 * @module
 */

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;
const UPRIGHT = 1;

/**
 * Reads the orientation from a TIFF structure, as EXIF data are (Exif 2.3, section 4.6).
 *
 * @param tiff From the byte-order mark on; what precedes it in a file (`Exif\0\0`) left out
 * @returns 1–8; 1 (upright) when there is none or the data are damaged, as viewers do
 */
export function exifOrientation(tiff: Uint8Array): number {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  try {
    const mark = view.getUint16(0);
    if (mark !== 0x4949 && mark !== 0x4d4d) return UPRIGHT;
    const little = mark === 0x4949;
    if (view.getUint16(2, little) !== 42) return UPRIGHT;
    const directory = view.getUint32(4, little);
    const entries = view.getUint16(directory, little);
    for (let entry = 0; entry < entries; entry++) {
      const at = directory + 2 + entry * 12;
      if (view.getUint16(at, little) !== ORIENTATION_TAG) continue;
      if (view.getUint16(at + 2, little) !== SHORT) return UPRIGHT;
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : UPRIGHT;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut off
  }
  return UPRIGHT;
}

/** EXIF data without the `Exif\0\0` that JPEG, and some writers of WebP, put before it. */
export function withoutExifMark(bytes: Uint8Array): Uint8Array {
  const marked = [0x45, 0x78, 0x69, 0x66, 0, 0].every((byte, i) => bytes[i] === byte);
  return marked ? bytes.subarray(6) : bytes;
}

import assert from "node:assert/strict";
import { cropRgb, flipRgb, orientRgb, type RgbImage } from "../../../src/data/codecs/rgb_image.ts";

/** An image whose pixels have the given red values, row by row. */
function image(...rows: number[][]): RgbImage {
  const data = Uint8Array.from(rows.flat().flatMap((value) => [value, value + 100, value + 200]));
  return { width: rows[0].length, height: rows.length, data };
}

const IMAGE = image([1, 2, 3], [4, 5, 6]);

Deno.test("orientRgb() undoes each of the eight EXIF orientations", () => {
  const upright: Record<number, RgbImage> = {
    1: IMAGE,
    2: image([3, 2, 1], [6, 5, 4]),
    3: image([6, 5, 4], [3, 2, 1]),
    4: image([4, 5, 6], [1, 2, 3]),
    5: image([1, 4], [2, 5], [3, 6]),
    6: image([4, 1], [5, 2], [6, 3]),
    7: image([6, 3], [5, 2], [4, 1]),
    8: image([3, 6], [2, 5], [1, 4]),
  };
  for (const [orientation, expected] of Object.entries(upright)) {
    assert.deepEqual(orientRgb(IMAGE, Number(orientation)), expected, orientation);
  }
});

Deno.test("orientRgb() ignores orientations that don't exist", () => {
  for (const orientation of [0, 9, -1, NaN, 65535]) {
    assert.equal(orientRgb(IMAGE, orientation), IMAGE);
  }
});

Deno.test("flipRgb() mirrors left to right, and twice changes nothing", () => {
  assert.deepEqual(flipRgb(flipRgb(IMAGE)), IMAGE);
  assert.notDeepEqual(flipRgb(IMAGE), IMAGE);
});

Deno.test("cropRgb() cuts, and is black outside of the image", () => {
  assert.deepEqual(
    cropRgb(IMAGE, { left: 1, top: 1, width: 2, height: 1 }),
    image([5, 6]),
  );
  const wide = cropRgb(IMAGE, { left: -1, top: -1, width: 3, height: 2 });
  assert.deepEqual([...wide.data.subarray(0, 12)], Array(12).fill(0));
  assert.deepEqual([...wide.data.subarray(12)], [1, 101, 201, 2, 102, 202]);
  const outside = cropRgb(IMAGE, { left: 7, top: 0, width: 1, height: 1 });
  assert.deepEqual([...outside.data], [0, 0, 0]);
});

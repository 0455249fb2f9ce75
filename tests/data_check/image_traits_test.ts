import assert from "node:assert/strict";
import { readImageHeader } from "../../src/data/codecs/image_header.ts";
import { imageTraits, isCutOff } from "../../src/data_check/image_traits.ts";

const IMAGES = new URL("../fixtures/data/pictures/", import.meta.url);

/** Images that Pillow wrote → what is unusual about them. */
const EXPECTED: Record<string, string[]> = {
  "baseline.jpg": [],
  "exif_1.jpg": [],
  "exif_6.jpg": ["turned"],
  "exif_6.png": ["turned"],
  "exif_8.webp": ["turned"],
  "cmyk_adobe.jpg": ["cmyk"],
  "cmyk_plain.jpg": ["cmyk"],
  "ycck.jpg": ["cmyk"],
  "gray.jpg": [],
  "rgb.png": [],
  "rgba.png": ["alpha"],
  "gray_alpha.png": ["alpha"],
  "palette.png": [],
  "palette_alpha.png": ["alpha"],
  "gray_16bit.png": ["deep"],
  "rgb_16bit.png": ["deep"],
  "alpha.webp": ["alpha"],
  "lossy.webp": [],
  "lossless.webp": [],
  "animated.webp": ["animated"],
  "plain.gif": [],
  "animated.gif": ["animated"],
  "transparent.gif": ["alpha"],
  "rgb.bmp": [],
};

Deno.test("imageTraits() names what isn't kept of an image", async () => {
  for (const [name, traits] of Object.entries(EXPECTED)) {
    const bytes = await Deno.readFile(new URL(name, IMAGES));
    assert.deepEqual(imageTraits(bytes, readImageHeader(bytes)), traits, name);
  }
});

Deno.test("isCutOff() is true of every file without its end, and of no whole one", async () => {
  for (const name of ["baseline.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "alpha.webp"]) {
    const bytes = await Deno.readFile(new URL(name, IMAGES));
    assert.equal(isCutOff(bytes, readImageHeader(bytes)), false, name);
    for (const missing of [2, 20, 100]) {
      const part = bytes.slice(0, -missing);
      assert.equal(isCutOff(part, readImageHeader(part)), true, `${name} without ${missing} bytes`);
    }
  }
});

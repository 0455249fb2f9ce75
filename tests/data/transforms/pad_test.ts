import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/augmentations.json" with { type: "json" };
import type { Rgb } from "../../../src/data/transforms/arguments.ts";
import { type Padding, type PaddingMode, padRgb } from "../../../src/data/transforms/pad.ts";
import { cropRgb } from "../../../src/data/codecs/rgb_image.ts";
import { noise, shortDigest, sourceOf } from "../noise.ts";

Deno.test("padRgb() gives torchvision's pixels in each mode, also where mirrors mirror mirrors", () => {
  for (const expected of fixtures.pads) {
    const { source, padding, fill, paddingMode } = expected;
    const image = sourceOf(source);
    const result = padRgb(image, padding as Padding, fill as Rgb, paddingMode as PaddingMode);
    const message = JSON.stringify(expected);
    assert.deepEqual([result.width, result.height], [expected.width, expected.height], message);
    assert.equal(shortDigest(result.data), expected.sha256, message);
  }
});

Deno.test("padRgb() leaves the image in the middle as it is", () => {
  const side = fc.integer({ min: 0, max: 20 });
  fc.assert(fc.property(
    fc.tuple(side, side, side, side),
    fc.constantFrom<PaddingMode>("constant", "edge", "reflect", "symmetric"),
    (padding, mode) => {
      const image = noise(5, 4, 2);
      const padded = padRgb(image, padding, [1, 2, 3], mode);
      const box = { left: padding[0], top: padding[1], width: 5, height: 4 };
      assert.deepEqual(cropRgb(padded, box), image);
    },
  ));
});

Deno.test("padRgb() refuses to make a huge image", () => {
  assert.throws(
    () => padRgb(noise(1, 1, 0), [9999, 9999, 9999, 9999]),
    /Pad would make its 1 × 1 pixels 19999 × 19999/,
  );
});

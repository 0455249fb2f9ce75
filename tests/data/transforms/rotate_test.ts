import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/augmentations.json" with { type: "json" };
import { type RotateOptions, rotateRgb } from "../../../src/data/transforms/rotate.ts";
import { noise, shortDigest, sourceOf } from "../noise.ts";

const PLAIN: RotateOptions = {
  interpolation: "nearest",
  expand: false,
  center: null,
  fill: [0, 0, 0],
};

Deno.test("rotateRgb() gives Pillow's pixels to the bit", () => {
  for (const expected of fixtures.rotations) {
    const { source, degrees, interpolation, expand, center, fill } = expected;
    const options = { interpolation, expand, center, fill } as RotateOptions;
    const result = rotateRgb(sourceOf(source), degrees, options);
    const message = JSON.stringify(expected);
    assert.deepEqual([result.width, result.height], [expected.width, expected.height], message);
    assert.equal(shortDigest(result.data), expected.sha256, message);
  }
});

Deno.test("rotateRgb() by four right angles is the image again", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 30 }),
    fc.constantFrom("nearest" as const, "bilinear" as const),
    (width, height, interpolation) => {
      const image = noise(width, height, 3);
      let turned = image;
      for (let turn = 0; turn < 4; turn++) {
        turned = rotateRgb(turned, 90, { ...PLAIN, interpolation, expand: true });
      }
      assert.deepEqual(turned, image);
    },
  ));
});

Deno.test("rotateRgb() with expand refuses to make a huge image", () => {
  assert.throws(
    () => rotateRgb(noise(20_000, 1, 0), 45, { ...PLAIN, expand: true }),
    /RandomRotation would make its 20000 × 1 pixels 1414\d × 1414\d/,
  );
});

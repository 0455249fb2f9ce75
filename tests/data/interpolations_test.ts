import assert from "node:assert/strict";
import { randomStream } from "../../src/base/random.ts";
import fixtures from "../fixtures/data/interpolations.json" with { type: "json" };
import { resizeRgb } from "../../src/data/resizing/resize.ts";
import { type Interpolation, INTERPOLATIONS } from "../../src/data/resizing/resize_filter.ts";
import { transformsSchema } from "../../src/data/transforms/transform_specs.ts";
import { Resize } from "../../src/data/transforms/resize.ts";
import { type RotateOptions, rotateRgb } from "../../src/data/transforms/rotate.ts";
import { noise, sha256 } from "./noise.ts";

interface Expected {
  readonly width: number;
  readonly height: number;
  readonly sha256: string;
}

function assertEqual(
  result: { width: number; height: number; data: Uint8Array },
  expected: Expected,
): void {
  const message = JSON.stringify(expected);
  assert.deepEqual([result.width, result.height], [expected.width, expected.height], message);
  assert.equal(sha256(result.data), expected.sha256, message);
}

/** An image after Resize with the arguments of a config. */
function resized(args: Record<string, unknown>, [width, height, seed]: number[]) {
  const random = randomStream(0, "unused");
  return Resize.onImage!(noise(width, height, seed), Resize.schema.parse(args), random);
}

for (const interpolation of INTERPOLATIONS) {
  Deno.test(`Resize and RandomResizedCrop give torchvision's pixels: ${interpolation}`, () => {
    const own = <T extends { interpolation: string }>(cases: T[]) =>
      cases.filter((one) => one.interpolation === interpolation);
    const { resizes, bounded, crops } = fixtures;
    for (const expected of own(resizes)) {
      const size = expected.size as [number, number];
      assertEqual(resized({ size, interpolation }, expected.source), expected);
    }
    for (const expected of own(bounded)) {
      const { size, maxSize, source } = expected;
      assertEqual(resized({ size, maxSize, interpolation }, source), expected);
    }
    for (const expected of own(crops)) {
      const { source, box: [left, top, width, height], to } = expected;
      const image = noise(source[0], source[1], source[2]);
      const box = { left, top, width, height };
      assertEqual(resizeRgb(image, to[0], to[1], box, interpolation), expected);
    }
    assert.ok(own(crops).length > 20);
  });
}

Deno.test("rotateRgb() gives Pillow's pixels to the bit: bicubic", () => {
  for (const expected of fixtures.rotations) {
    const { source, degrees, expand, center, fill } = expected;
    const options = { interpolation: "bicubic", expand, center, fill } as RotateOptions;
    assertEqual(rotateRgb(noise(source[0], source[1], source[2]), degrees, options), expected);
  }
});

Deno.test("the config takes torchvision's arguments of resizing, and refuses others", () => {
  const parse = (...specs: unknown[]) =>
    transformsSchema.safeParse([...specs, { CenterCrop: 1 }, {
      Normalize: { mean: [0, 0, 0], std: [1, 1, 1] },
    }]);
  const size = 40;
  for (const interpolation of INTERPOLATIONS satisfies readonly Interpolation[]) {
    const both = [{ Resize: { size, interpolation, antialias: true } }, {
      RandomResizedCrop: { size, interpolation, antialias: true },
    }];
    assert.ok(parse(...both).success, interpolation);
  }
  assert.ok(parse({ Resize: { size, maxSize: null, antialias: null } }).success);
  const refuses = (spec: unknown, message: RegExp) =>
    assert.match(String(parse(spec).error?.message), message);
  refuses({ Resize: { size, interpolation: "cubic" } }, /give one of nearest, nearest-exact/);
  refuses({ Resize: { size, antialias: false } }, /always resized with antialiasing/);
  refuses({ Resize: { size, maxSize: 40 } }, /give more than the shorter one \(40\)/);
  refuses({ Resize: { size: [40, 50], maxSize: 60 } }, /needs one number as size/);
  refuses(
    { RandomRotation: { degrees: 3, interpolation: "lanczos" } },
    /nearest, bilinear, bicubic/,
  );
});

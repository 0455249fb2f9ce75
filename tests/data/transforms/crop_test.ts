import assert from "node:assert/strict";
import fc from "fast-check";
import augmentations from "../../fixtures/data/augmentations.json" with { type: "json" };
import fixtures from "../../fixtures/data/transforms.json" with { type: "json" };
import { randomStream } from "../../../src/base/random.ts";
import { cropRgb } from "../../../src/data/codecs/rgb_image.ts";
import {
  padForCrop,
  RandomCrop,
  randomCropBox,
  randomResizedCropBox,
} from "../../../src/data/transforms/crop.ts";
import { noise, shortDigest, sourceOf } from "../noise.ts";

Deno.test("randomResizedCropBox() falls back to torchvision's box in the middle", () => {
  for (const { image: [width, height], ratio, box } of fixtures.fallbacks) {
    const drawn = randomResizedCropBox(
      { width, height },
      [1, 1],
      ratio as [number, number],
      randomStream(3),
    );
    assert.deepEqual(drawn, box, `${width} × ${height}, ${ratio}`);
  }
});

Deno.test("randomResizedCropBox() stays inside of any image, within scale and ratio", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 500 }),
    fc.integer({ min: 1, max: 500 }),
    fc.integer(),
    (width, height, seed) => {
      const box = randomResizedCropBox(
        { width, height },
        [0.08, 1],
        [0.75, 4 / 3],
        randomStream(seed),
      );
      assert.ok(box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0);
      assert.ok(box.left + box.width <= width && box.top + box.height <= height);
    },
  ));
  const random = randomStream(5);
  const shares = Array.from({ length: 2000 }, () => {
    const box = randomResizedCropBox(
      { width: 400, height: 300 },
      [0.25, 0.75],
      [0.75, 4 / 3],
      random,
    );
    assert.ok(Math.abs(Math.log(box.width / box.height)) < Math.log(4 / 3) + 0.02);
    return box.width * box.height / 120_000;
  });
  assert.ok(Math.min(...shares) > 0.24 && Math.max(...shares) < 0.76);
  // Large boxes of extreme ratios don't fit and are drawn again: less than the mean of the range.
  const mean = shares.reduce((sum, share) => sum + share) / 2000;
  assert.ok(mean > 0.44 && mean < 0.5, String(mean));
});

Deno.test("padForCrop() and a given box give the pixels of torchvision's RandomCrop", () => {
  for (const expected of augmentations.crops) {
    const image = sourceOf(expected.source);
    const padded = padForCrop(image, RandomCrop.schema.parse(expected.args));
    const result = cropRgb(padded, expected.box);
    assert.equal(shortDigest(result.data), expected.sha256, JSON.stringify(expected));
  }
});

Deno.test("randomCropBox() takes every place inside of the image", () => {
  const random = randomStream(2);
  const places = new Set<string>();
  for (let draw = 0; draw < 300; draw++) {
    const box = randomCropBox({ width: 7, height: 5 }, [3, 4], random);
    assert.deepEqual([box.width, box.height], [4, 3]);
    places.add(`${box.left} ${box.top}`);
  }
  const all = [0, 1, 2, 3].flatMap((left) => [0, 1, 2].map((top) => `${left} ${top}`));
  assert.deepEqual([...places].sort(), all.sort());
});

Deno.test("RandomCrop names an image's size when it is too small, and the cure", () => {
  const crop = (args: object) =>
    RandomCrop.onImage!(noise(20, 10, 0), RandomCrop.schema.parse(args), randomStream(0));
  assert.throws(
    () => crop({ size: [10, 21] }),
    /^LockstepError: RandomCrop can't cut 21 × 10 pixels out of 20 × 10: set padIfNeeded: true, or write/,
  );
  assert.throws(
    () => crop({ size: 32, padding: 2 }),
    /out of 20 × 10 with its padding \(24 × 14\): set padIfNeeded/,
  );
  assert.equal(crop({ size: 24, padding: [2, 7] }).width, 24);
  assert.equal(crop({ size: [64, 64], padIfNeeded: true }).height, 64);
});

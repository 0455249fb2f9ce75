import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/augmentations.json" with { type: "json" };
import { randomStream } from "../../../src/base/random.ts";
import type { Rgb } from "../../../src/data/transforms/arguments.ts";
import { eraseBox, RandomErasing, randomErasingBox } from "../../../src/data/transforms/erase.ts";
import { FloatTable } from "../../../src/data/transforms/normalize.ts";
import type { FloatImage } from "../../../src/data/transforms/transform.ts";
import { shortDigest, sourceOf } from "../noise.ts";

function blank(width: number, height: number): FloatImage {
  return { width, height, data: new Float32Array(width * height * 3).fill(7) };
}

Deno.test("eraseBox() on normalized floats gives torchvision's to the bit", () => {
  const { mean, std, cases } = fixtures.erasings;
  const table = new FloatTable({ mean: mean as Rgb, std: std as Rgb });
  for (const { source, value, box, sha256 } of cases) {
    const image = sourceOf(source);
    const floats = blank(image.width, image.height);
    table.write(image, floats.data, 0);
    eraseBox(floats, box, value as Rgb, randomStream(0));
    assert.equal(shortDigest(floats.data), sha256, `${source}: ${value}`);
  }
});

Deno.test("eraseBox() with random values draws normally distributed ones, inside of the box only", () => {
  const image = blank(80, 60);
  const box = { left: 10, top: 5, width: 50, height: 40 };
  eraseBox(image, box, "random", randomStream(4));
  const inside: number[] = [];
  image.data.forEach((value, i) => {
    const x = Math.floor(i / 3) % 80, y = Math.floor(i / 240);
    if (x >= 10 && x < 60 && y >= 5 && y < 45) inside.push(value);
    else assert.equal(value, 7);
  });
  const mean = inside.reduce((sum, value) => sum + value) / inside.length;
  const variance = inside.reduce((sum, value) => sum + value ** 2, 0) / inside.length;
  assert.ok(Math.abs(mean) < 0.05 && Math.abs(variance - 1) < 0.08, `${mean} ${variance}`);
  assert.equal(new Set(inside).size, inside.length, "each value is drawn anew");
});

Deno.test("randomErasingBox() is smaller than the image, within scale and ratio", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 300 }),
    fc.integer(),
    (width, height, seed) => {
      const box = randomErasingBox({ width, height }, [0.02, 0.33], [0.3, 3.3], randomStream(seed));
      if (!box) return;
      assert.ok(box.width < width && box.height < height && box.left >= 0 && box.top >= 0);
      assert.ok(box.left + box.width <= width && box.top + box.height <= height);
    },
  ));
  const random = randomStream(1);
  for (let draw = 0; draw < 500; draw++) {
    const box = randomErasingBox({ width: 200, height: 200 }, [0.1, 0.2], [2, 3], random)!;
    const share = box.width * box.height / 40_000, ratio = box.height / box.width;
    assert.ok(share > 0.098 && share < 0.202 && ratio > 1.95 && ratio < 3.08, `${share} ${ratio}`);
  }
  assert.equal(randomErasingBox({ width: 1, height: 1 }, [1, 1], [1, 1], random), undefined);
});

Deno.test("RandomErasing erases about p of the images", () => {
  const args = RandomErasing.schema.parse({ p: 0.3, value: [1, 2, 3] });
  const erased = Array.from({ length: 500 }, (_, key) => {
    const image = blank(32, 32);
    RandomErasing.onFloats!(image, args, randomStream(key));
    return image.data.includes(2);
  });
  const share = erased.filter(Boolean).length / 500;
  assert.ok(share > 0.24 && share < 0.36, String(share));
});

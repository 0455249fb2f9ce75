import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/augmentations.json" with { type: "json" };
import { randomStream } from "../../../src/base/random.ts";
import { adjustSaturation, greyRgb } from "../../../src/data/transforms/adjust.ts";
import {
  adjust,
  type Adjustment,
  ColorJitter,
  drawColorJitter,
} from "../../../src/data/transforms/color.ts";
import { noise, shortDigest, sourceOf } from "../noise.ts";

Deno.test("adjust() gives torchvision's pixels to the bit, one by one and one after the other", () => {
  for (const { source, steps, sha256 } of fixtures.adjustments) {
    const result = (steps as unknown as Adjustment[]).reduce(adjust, sourceOf(source));
    assert.equal(shortDigest(result.data), sha256, `${source}: ${steps}`);
  }
});

Deno.test("greyRgb() is what no saturation leaves", () => {
  fc.assert(fc.property(fc.integer(), (seed) => {
    const image = noise(9, 7, seed);
    assert.deepEqual(greyRgb(image), adjustSaturation(image, 0));
  }));
});

Deno.test("drawColorJitter() draws each amount within its range, in all 24 orders", () => {
  const ranges = ColorJitter.schema.parse({
    brightness: 0.4,
    contrast: [0.5, 0.9],
    saturation: 3,
    hue: 0.1,
  });
  assert.deepEqual(ranges.brightness, [0.6, 1.4]);
  assert.deepEqual(ranges.saturation, [0, 4], "never below 0");
  const orders = new Set<string>();
  const random = randomStream(8);
  const sums: Record<string, number> = {};
  for (let draw = 0; draw < 1000; draw++) {
    const steps = drawColorJitter(ranges, random);
    orders.add(steps.map(([name]) => name).join());
    for (const [name, amount] of steps) {
      assert.ok(amount >= ranges[name][0] && amount <= ranges[name][1], `${name} ${amount}`);
      sums[name] = (sums[name] ?? 0) + amount / 1000;
    }
  }
  assert.equal(orders.size, 24);
  for (const name of ["brightness", "contrast", "saturation", "hue"] as const) {
    const [low, high] = ranges[name];
    const mean = sums[name];
    assert.ok(Math.abs(mean - (low + high) / 2) < 0.05 * (high - low), `${name} ${mean}`);
  }
  assert.deepEqual(
    drawColorJitter(ranges, randomStream(1)),
    drawColorJitter(ranges, randomStream(1)),
  );
});

Deno.test("ColorJitter leaves out what may not vary, and with it the loss of 8-bit HSV", () => {
  const args = ColorJitter.schema.parse({ contrast: [1, 1], saturation: 0.5 });
  assert.deepEqual(drawColorJitter(args, randomStream(0)).map(([name]) => name), ["saturation"]);
  const image = noise(20, 20, 1);
  const nothing = ColorJitter.schema.parse({});
  assert.deepEqual(ColorJitter.onImage!(image, nothing, randomStream(0)), image);
});

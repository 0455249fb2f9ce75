import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/transforms.json" with { type: "json" };
import { resizeRgb } from "../../../src/data/resizing/resize.ts";
import { type Box, cropRgb, type RgbImage } from "../../../src/data/codecs/rgb_image.ts";
import { noise, sha256 } from "../noise.ts";

Deno.test("resizeRgb() is equal to Pillow to the bit: larger, smaller, along one side, of a crop", () => {
  for (const { source, box, to, sha256: expected } of fixtures.resizes) {
    const [width, height, seed] = source;
    const part = box && { left: box[0], top: box[1], width: box[2], height: box[3] };
    const result = resizeRgb(noise(width, height, seed), to[0], to[1], part ?? undefined);
    assert.equal(result.width, to[0]);
    assert.equal(result.height, to[1]);
    assert.equal(sha256(result.data), expected, `${source} ${box} to ${to}`);
  }
});

Deno.test("resizeRgb() keeps black black and white white at any size", () => {
  for (const value of [0, 255]) {
    const image = { width: 97, height: 41, data: new Uint8Array(97 * 41 * 3).fill(value) };
    for (const [width, height] of [[1, 1], [13, 90], [300, 7], [96, 42]]) {
      const { data } = resizeRgb(image, width, height);
      assert.ok(data.every((byte) => byte === value), `${value} at ${width} × ${height}`);
    }
  }
});

/** One axis after the other, as Pillow's Resample.c says it: slowly, with numbers that can't overflow. */
function plainly(image: RgbImage, width: number, height: number): RgbImage {
  const { width: w, height: h } = image;
  const rowsFirst = height < h && h - height > 2 * (w - width);
  const along = { x: (it: RgbImage) => alongX(it, width), y: (it: RgbImage) => alongY(it, height) };
  return rowsFirst ? along.x(along.y(image)) : along.y(along.x(image));
}

function alongX({ width: from, height, data }: RgbImage, width: number): RgbImage {
  if (from === width) return { width, height, data };
  const result = new Uint8Array(width * height * 3);
  const scale = from / width, support = Math.max(scale, 1);
  for (let x = 0; x < width; x++) {
    const center = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const shares = Array.from(
      { length: end - first },
      (_, i) => Math.max(1 - Math.abs((first + i - center + 0.5) * (1 / support)), 0),
    );
    const sum = shares.reduce((all, share) => all + share, 0);
    const weights = shares.map((share) => Math.trunc(0.5 + (share / sum) * 2 ** 22));
    for (let at = 0; at < height * 3; at++) {
      const [y, channel] = [Math.floor(at / 3), at % 3];
      const total = weights.reduce(
        (all, weight, i) => all + weight * data[(y * from + first + i) * 3 + channel],
        2 ** 21,
      );
      result[(y * width + x) * 3 + channel] = Math.floor(total / 2 ** 22);
    }
  }
  return { width, height, data: result };
}

function alongY(image: RgbImage, height: number): RgbImage {
  const { width, data } = alongX(transposed(image), height);
  return transposed({ width, height: image.width, data });
}

function transposed({ width, height, data }: RgbImage): RgbImage {
  const result = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) result[(x * height + y) * 3 + c] = data[(y * width + x) * 3 + c];
    }
  }
  return { width: height, height: width, data: result };
}

Deno.test("resizeRgb() computes what a plain loop computes, of any part and to any size", () => {
  const side = fc.integer({ min: 1, max: 70 });
  fc.assert(
    fc.property(
      fc.tuple(side, side),
      fc.tuple(side, side),
      fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()),
      fc.nat(),
      ([w, h], [width, height], [a, b, c, d], seed) => {
        const image = noise(w, h, seed);
        const left = a % w, top = b % h;
        const box = { left, top, width: 1 + c % (w - left), height: 1 + d % (h - top) };
        const expected = plainly(cropRgb(image, box), width, height);
        assert.deepEqual(resizeRgb(image, width, height, box), expected);
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("resizeRgb() computes the same of images that don't fit into its memory at once", () => {
  const cases: [from: [number, number], to: [number, number], box?: Box][] = [
    [[900, 500], [40, 300]], // bands of rows
    [[300, 1400], [290, 20]], // strips of columns
    [[300, 1400], [300, 20], { left: 3, top: 1, width: 291, height: 1390 }],
    [[20, 9], [4000, 3000]], // more memory than is kept
    [[50, 40], [25, 20]], // and the kept one afterwards
  ];
  for (const [[w, h], [width, height], box] of cases) {
    const image = noise(w, h, 5);
    const { data } = resizeRgb(image, width, height, box);
    const expected = plainly(box ? cropRgb(image, box) : image, width, height);
    assert.equal(sha256(data), sha256(expected.data), `${w} × ${h} to ${width} × ${height}`);
  }
});

import assert from "node:assert/strict";
import fixtures from "../fixtures/data/transforms.json" with { type: "json" };
import { resizeRgb } from "../../src/data/resize.ts";
import { noise, sha256 } from "./noise.ts";

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

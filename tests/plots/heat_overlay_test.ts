import assert from "node:assert/strict";
import { colourOf } from "../../src/plots/colour_map.ts";
import { enlarge, overlayHeat } from "../../src/plots/heat_overlay.ts";

/** Relative luminance of WCAG 2, from 0 to 1. */
function luminance(colour: readonly number[]): number {
  const [red, green, blue] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

Deno.test("colourOf() grows lighter all the way, from dark to light", () => {
  const steps = Array.from({ length: 201 }, (_, index) => luminance(colourOf(index / 200)));
  steps.slice(1).forEach((value, index) => assert.ok(value >= steps[index], `step ${index}`));
  assert.ok(steps[0] < 0.03 && steps[200] > 0.75);
  // No two steps of a tenth look alike.
  for (let at = 10; at <= 200; at += 20) assert.ok(steps[at] - steps[at - 10] > 0.004, `${at}`);
  assert.deepEqual(colourOf(-1), colourOf(0));
  assert.deepEqual(colourOf(2), colourOf(1));
  assert.deepEqual(colourOf(NaN), colourOf(0));
});

Deno.test("enlarge() is PyTorch's interpolate(mode='bilinear', align_corners=False)", () => {
  // torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 5.]]]]), (4, 3), mode="bilinear")
  const expected = [0, 0.5, 1, 0.5, 1.25, 2, 1.5, 2.75, 4, 2, 3.5, 5];
  const map = { width: 2, height: 2, values: Float32Array.of(0, 1, 2, 5) };
  assert.deepEqual([...enlarge(map, 3, 4)], expected);
  assert.deepEqual([...enlarge({ width: 1, height: 1, values: Float32Array.of(3) }, 2, 2)], [
    3,
    3,
    3,
    3,
  ]);
});

Deno.test("overlayHeat() is lightest where the map is greatest, and dark without a map", () => {
  const data = new Uint8Array(4 * 2 * 3).fill(100);
  const picture = { width: 4, height: 2, data };
  const values = Float32Array.of(0, 0, 0, 0.002, 0, 0, 0, 0);
  const { data: pixels, width, height } = overlayHeat(picture, { width: 4, height: 2, values });
  assert.deepEqual([width, height], [4, 2]);
  const at = (pixel: number) => [...pixels.subarray(pixel * 3, pixel * 3 + 3)];
  const expected = (heat: number) => colourOf(heat).map((value) => Math.round(0.55 * value + 45));
  assert.deepEqual(at(3), expected(1));
  assert.deepEqual(at(0), expected(0));
  const none = overlayHeat(picture, { width: 1, height: 1, values: Float32Array.of(0) });
  assert.deepEqual([...none.data.subarray(0, 3)], expected(0));
});

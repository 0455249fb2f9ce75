import assert from "node:assert/strict";
import { adjustHue } from "../../../src/data/transforms/hue.ts";

/** The pixel of a colour after a turn of its hue. */
function turned(rgb: number[], turn: number): number[] {
  return [...adjustHue({ width: 1, height: 1, data: Uint8Array.from(rgb) }, turn).data];
}

Deno.test("adjustHue() turns colours around the circle, and leaves greys alone", () => {
  assert.deepEqual(turned([90, 90, 90], 0.3), [90, 90, 90]);
  assert.deepEqual(turned([0, 0, 0], 0.5), [0, 0, 0]);
  assert.deepEqual(turned([255, 0, 0], 0), [255, 0, 0]);
  assert.deepEqual(turned([255, 0, 0], 1 / 3), [0, 255, 0]);
  assert.deepEqual(turned([0, 0, 255], -1 / 3), [0, 255, 0]);
});

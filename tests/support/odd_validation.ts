/**
 * The validation of tests in which an architecture's preset must not pass for the run's own transforms.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Classes of the made images. */
export const CLASSES = ["dark", "light", "middle"];

/** Transforms that are far from ImageNet's in sizes, means and deviations. */
export const TRANSFORMS = [
  { Resize: 40 },
  { CenterCrop: 28 },
  { Normalize: { mean: [0.2, 0.3, 0.4], std: [0.6, 0.5, 0.4] } },
];

/** Asserts that two losses or accuracies differ by less than 1e-5. */
export function assertNear(a: number, b: number): void {
  assert.ok(Math.abs(a - b) < 1e-5, `${a} is not ${b}`);
}

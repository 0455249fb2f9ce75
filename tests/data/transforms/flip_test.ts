import assert from "node:assert/strict";
import { RandomHorizontalFlip, RandomVerticalFlip } from "../../../src/data/transforms/flip.ts";

const IMAGE = { width: 2, height: 2, data: Uint8Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4) };

/** The first channel of an image's pixels. */
const first = ({ data }: { data: Uint8Array }) => [...data].filter((_, at) => at % 3 === 0);

Deno.test("flips exchange sides with their probability, and leave the image as it is otherwise", () => {
  const flip = (transform: typeof RandomHorizontalFlip, p: number, drawn: number) =>
    first(transform.onImage!(IMAGE, { p }, () => drawn));
  assert.deepEqual(flip(RandomHorizontalFlip, 0.5, 0.49), [2, 1, 4, 3]);
  assert.deepEqual(flip(RandomHorizontalFlip, 0.5, 0.5), [1, 2, 3, 4]);
  assert.deepEqual(flip(RandomVerticalFlip, 0.5, 0.49), [3, 4, 1, 2]);
  assert.deepEqual(flip(RandomVerticalFlip, 0, 0), [1, 2, 3, 4]);
  assert.deepEqual(flip(RandomHorizontalFlip, 1, 0.999), [2, 1, 4, 3]);
});

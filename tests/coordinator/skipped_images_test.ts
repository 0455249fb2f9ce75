import assert from "node:assert/strict";
import { SkippedImages } from "../../src/coordinator/epochs/skipped_images.ts";

Deno.test("SkippedImages says each image once, then a count, in bounded lines", () => {
  const lines: string[] = [];
  const events: unknown[] = [];
  const skipped = new SkippedImages({
    warn: (line) => void lines.push(line),
    skipped: (image) => void events.push(image),
  });
  const two = [{ path: "a.jpg", reason: "cut off" }, { path: "b.jpg", reason: "empty" }];
  for (let epoch = 0; epoch < 100; epoch++) skipped.report(two);
  skipped.report([]);
  skipped.report([...two, { path: "c.jpg", reason: "empty" }]);
  assert.deepEqual(lines, [
    "Skipped a.jpg: cut off",
    "Skipped b.jpg: empty",
    "Skipped 2 images again, named before",
    "Skipped c.jpg: empty",
  ]);
  lines.length = 0;
  skipped.report(
    Array.from({ length: 100_000 }, (_, index) => ({ path: `${index}.jpg`, reason: "empty" })),
  );
  assert.equal(lines.length, 48);
  assert.equal(lines.at(-1), "Skipped 99953 more images: events.jsonl names all of them");
  assert.equal(events.length, 100_003, "each once");
});

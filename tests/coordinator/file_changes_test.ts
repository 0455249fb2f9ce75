import assert from "node:assert/strict";
import {
  describeFileChanges,
  hasOtherImages,
  recordOfFileChanges,
} from "../../src/coordinator/state/resumed_data.ts";

const NONE = { changed: [], added: [], removed: [], touched: 3, otherTime: 2 };

Deno.test("hasOtherImages() counts what differs, not what was only touched", () => {
  assert.equal(hasOtherImages(NONE), false);
  assert.equal(hasOtherImages({ ...NONE, added: ["a.jpg"] }), true);
});

Deno.test("describeFileChanges() and recordOfFileChanges() name the first files of each kind", () => {
  const removed = Array.from({ length: 7 }, (_, index) => `${index}.jpg`);
  const changes = { ...NONE, changed: ["a\nb.jpg"], removed };
  assert.equal(
    describeFileChanges(changes),
    '1 changed: "a\\nb.jpg"; 7 removed: "0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg" and 2 more',
  );
  const record = recordOfFileChanges(changes);
  assert.deepEqual(record.removed, { count: 7, first: removed.slice(0, 5) });
  assert.deepEqual(record.added, { count: 0, first: [] });
});

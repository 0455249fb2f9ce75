import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { packScores, unpackScores } from "../../src/train/score_bytes.ts";
import { rank, readRanking } from "../../src/train/scores.ts";

Deno.test("unpackScores() reads what packScores() wrote, NaN and infinity included", () => {
  const scores = {
    indices: [7, 4_000_000_000, 0],
    labels: [1, -1, 0],
    losses: [0.5, NaN, Infinity],
    ranked: [1, 0, 0, 1, 1, 0],
    probabilities: [0.75, 0.25, NaN, NaN, 1, 0],
    values: [[1, 2, NaN], [0, 0.5, -1]],
  };
  const bytes = packScores(scores);
  assert.equal(bytes.byteLength, 3 * 4 * (3 + 2 * 2 + 2));
  const shifted = new Uint8Array(bytes.length + 3); // an offset that no number likes
  shifted.set(bytes, 3);
  assert.deepEqual(unpackScores(shifted.subarray(3), { count: 3, width: 2, valued: 2 }), scores);
  assert.throws(
    () => unpackScores(bytes, { count: 3, width: 1, valued: 2 }),
    /are not the scores of 3 samples/,
  );
});

Deno.test("packScores() of no samples is no bytes", () => {
  const none = { indices: [], labels: [], losses: [], ranked: [], probabilities: [], values: [] };
  assert.equal(packScores(none).byteLength, 0);
  assert.deepEqual(unpackScores(new Uint8Array(0), { count: 0, width: 0, valued: 0 }), none);
});

Deno.test("rank() orders by logits, also where probabilities vanish, and survives NaN", async () => {
  await openEngine();
  const logits = tf.tensor2d([[0, 200, -100, 50], [1, 1, 1, 1], [NaN, 2, NaN, 3]]);
  const { width, ranked, probabilities } = readRanking(rank(logits, 3));
  assert.equal(width, 3);
  assert.deepEqual([...ranked], [1, 3, 0, 0, 1, 2, -1, -1, -1]);
  assert.deepEqual([...probabilities.subarray(0, 6)], [1, 0, 0, 0.25, 0.25, 0.25]);
  assert.ok(probabilities.subarray(6).every(Number.isNaN));
});

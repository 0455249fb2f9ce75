import assert from "node:assert/strict";
import fc from "fast-check";
import {
  counted,
  formatBytes,
  formatDuration,
  formatLoss,
  formatMebibytes,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatScore,
  formatTimeLeft,
  groupedCount,
  groupThousands,
  truncate,
  truncateMiddle,
} from "../../src/base/format.ts";

Deno.test("formatDuration() chooses the unit by size", () => {
  const cases: [number, string][] = [
    [0, "0.0 s"],
    [9.94, "9.9 s"],
    [9.96, "10 s"],
    [59.4, "59 s"],
    [59.6, "1 min 00 s"],
    [185, "3 min 05 s"],
    [3599.7, "1 h 00 min"],
    [3720, "1 h 02 min"],
    [NaN, "?"],
  ];
  for (const [seconds, expected] of cases) assert.equal(formatDuration(seconds), expected);
});

Deno.test("formatTimeLeft() has no tenths", () => {
  assert.equal(formatTimeLeft(0.2), "ETA 1 s");
  assert.equal(formatTimeLeft(75), "ETA 1 min 15 s");
});

Deno.test("formatBytes() counts in powers of 1000", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1500, "1.5 kB"],
    [999_960, "1.0 MB"],
    [6_000_000, "6.0 MB"],
    [270_300_000, "270 MB"],
    [4e15, "4000 TB"],
  ];
  for (const [bytes, expected] of cases) assert.equal(formatBytes(bytes), expected);
});

Deno.test("formatLoss() keeps its width, and shows what is no number", () => {
  const cases: [number, string][] = [
    [0.81234, "0.8123"],
    [12.3456, "12.346"],
    [123.456, "123.46"],
    [1234.56, "1234.6"],
    [1.5e9, "1.50e+9"],
    [NaN, "NaN"],
    [Infinity, "Infinity"],
  ];
  for (const [loss, expected] of cases) assert.equal(formatLoss(loss), expected);
});

Deno.test("formatMilliseconds() has three digits at least, and a dash for what is no number", () => {
  const cases: [number, string][] = [
    [0.123, "0.12 ms"],
    [9.996, "10.00 ms"],
    [12.34, "12.3 ms"],
    [123.4, "123 ms"],
    [NaN, "–"],
  ];
  for (const [value, expected] of cases) assert.equal(formatMilliseconds(value), expected);
});

Deno.test("formatPercent() and formatScore() show what is no number as such", () => {
  assert.deepEqual([0, 0.12345, 1, NaN, Infinity, null, undefined].map(formatPercent), [
    "0.0%",
    "12.3%",
    "100.0%",
    "–",
    "–",
    "–",
    "–",
  ]);
  assert.deepEqual([0.8767, NaN].map((score) => formatScore(score)), ["0.877", "–"]);
  assert.equal(formatScore(-Infinity, "unknown"), "unknown");
});

Deno.test("formatRate() and formatMebibytes() keep the digits that tell something", () => {
  assert.deepEqual([32.14, 99.94, 100.4].map(formatRate), [
    "32.1 img/s",
    "99.9 img/s",
    "100 img/s",
  ]);
  assert.equal(formatMebibytes(1.5 * 2 ** 20), "1.5 MiB");
});

Deno.test("counted() and groupedCount() have one of a thing, and none or many of them", () => {
  assert.deepEqual([0, 1, 2].map((count) => counted(count, "epoch")), [
    "0 epochs",
    "1 epoch",
    "2 epochs",
  ]);
  assert.equal(counted(1, "class", "classes"), "1 class");
  assert.equal(counted(21_000, "class", "classes"), "21000 classes");
  assert.deepEqual([1, 1200].map((count) => groupedCount(count, "image")), [
    "1 image",
    "1,200 images",
  ]);
  assert.equal(groupThousands(14_197_122), "14,197,122");
});

Deno.test("truncate() ends with an ellipsis only when something is missing", () => {
  assert.equal(truncate("marine-fish", 11), "marine-fish");
  assert.equal(truncate("marine-fish", 8), "marine-…");
  assert.equal(truncate("marine fish", 8), "marine…");
  assert.equal(truncate("marine-fish", 0), "");
});

Deno.test("truncateMiddle() keeps both ends", () => {
  assert.equal(truncateMiddle("marine-fish", 11), "marine-fish");
  assert.equal(truncateMiddle("marine-fish", 8), "mari…ish");
  assert.equal(truncateMiddle("marine-fish", 2), "m…");
});

Deno.test("truncate() and truncateMiddle() never exceed a width of one or more", () => {
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 30 }), (text, width) => {
    assert.ok(truncate(text, width).length <= width);
    assert.ok(truncateMiddle(text, width).length <= width);
  }));
});

import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { parseCounts, parseSize, parseSizes, sizeText } from "../../src/bench/sizes.ts";

Deno.test("parseSize() reads decimal and binary units", () => {
  assert.equal(parseSize("44.7MB"), 44_700_000);
  assert.equal(parseSize("16MiB"), 16 * 2 ** 20);
  assert.equal(parseSize("1 gb"), 1e9);
  assert.equal(parseSize("4096B"), 4096);
});

Deno.test("parseSizes() doubles through a range and ends with its end", () => {
  assert.deepEqual(
    parseSizes("1MB..256MB"),
    [1, 2, 4, 8, 16, 32, 64, 128, 256].map((size) => size * 1e6),
  );
  assert.deepEqual(parseSizes("1MB..5MB"), [1e6, 2e6, 4e6, 5e6]);
  assert.deepEqual(parseSizes("1MB..1MB"), [1e6]);
  assert.deepEqual(parseSizes("4KB,1MB..2MB"), [4e3, 1e6, 2e6]);
});

const WRONG: [string, RegExp][] = [
  ["1", /"1" is not a size: write sizes such as 44\.7MB/],
  ["", /"" is not a size/],
  ["1MB..", /"" is not a size/],
  ["1XB", /"1XB" is not a size/],
  ["-1MB", /"-1MB" is not a size/],
  ["1MB...4MB", /is not a size/],
  ["1MB..2MB..4MB", /"1MB\.\.2MB\.\.4MB" has more than one "\.\."/],
  ["4MB..1MB", /"4MB\.\.1MB" goes down: write the smaller size first/],
  ["6B", /"6B" is 6 bytes, not a whole number of float32 values: write 8B/],
  ["0MB", /"0MB" is 0 bytes, not a whole number of float32 values: write 4B/],
  [Array(65).fill("4B").join(","), /are 65 sizes: give at most 64/],
];
for (const [text, expected] of WRONG) {
  Deno.test(`parseSizes() refuses "${text.slice(0, 20)}"`, () => {
    assert.throws(() => parseSizes(text), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, expected);
      return true;
    });
  });
}

Deno.test("parseCounts() sorts, keeps each once, and refuses what is no count", () => {
  assert.deepEqual(parseCounts("workers", "4,1,2,4"), [1, 2, 4]);
  for (const text of ["0", "1,", "two", "1.5", "-1"]) {
    assert.throws(() => parseCounts("workers", text), /--workers is .*: give whole numbers/);
  }
});

Deno.test("sizeText() shows three digits in decimal units", () => {
  assert.equal(sizeText(44_706_728), "44.7 MB");
  assert.equal(sizeText(1e9), "1 GB");
  assert.equal(sizeText(250_000), "250 KB");
  assert.equal(sizeText(12), "12 B");
});

/**
 * Fuzzer of images' headers: size and orientation of altered files, whole and by their first bytes.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { HeaderError } from "../../../src/data/codecs/header_error.ts";
import {
  type ImageHeader,
  readImageHeader,
  readImageSize,
} from "../../../src/data/codecs/image_header.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { mendChecksums, readImages } from "../image_samples.ts";
import { joined, mutate, mutations } from "../mutations.ts";
import { checkReason } from "../refusals.ts";

const samples = await readImages();
/** First bytes of formats, also of those that aren't read. */
const MAGIC = [
  ...[
    "\xff\xd8\xff\xe0",
    "\x89PNG\r\n\x1a\n",
    "GIF89a",
    "RIFF\0\0\0\0WEBP",
    "BM",
    "II*\0",
    "MM\0*",
    "P6 1 1 255\n",
  ],
  ...[
    "RIFF\0\0\0\0WEBPVP8X",
    "RIFF\0\0\0\0WEBPVP8L",
    "RIFF\0\0\0\0WEBPANMF",
    "\0\0\0\x18ftypheic",
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
  ],
].map((text) => Uint8Array.from(text, (character) => character.charCodeAt(0)));

const altered = fc.tuple(fc.nat(200), mutations, fc.boolean()).map(([which, changes, isMended]) => {
  const bytes = mutate(samples[which % samples.length]!, changes, samples);
  return isMended ? mendChecksums(bytes) : bytes;
});
const begun = fc.tuple(fc.constantFrom(...MAGIC), fc.uint8Array({ maxLength: 200 })).map((
  [start, rest],
) => joined(start, rest));

export const FUZZER = defineFuzzer({
  seed: 20_008,
  input: fc.record({
    bytes: fc.oneof({ weight: 6, arbitrary: altered }, { weight: 1, arbitrary: begun }),
    prefix: fc.integer({ min: 16, max: 2_000 }),
  }),
  check({ bytes, prefix }) {
    const header = attempt(() => readImageHeader(bytes));
    if (header) requireSane(header);
    const size = attempt(() => readImageSize(bytes, true));
    if (header) assert.deepEqual(size, { width: header.width, height: header.height });
    const start = bytes.subarray(0, prefix);
    const early = attempt(() => readImageSize(start, start.length === bytes.length));
    if (early) assert.deepEqual(early, size, "the first bytes say the same as all of them");
  },
});

function requireSane({ width, height, orientation }: ImageHeader): void {
  for (const side of [width, height]) {
    assert.ok(Number.isInteger(side) && side >= 1 && side <= 2 ** 32, `${side}`);
  }
  assert.ok(
    Number.isInteger(orientation) && orientation >= 1 && orientation <= 8,
    `${orientation}`,
  );
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    checkReason(error.message);
    return undefined;
  }
}

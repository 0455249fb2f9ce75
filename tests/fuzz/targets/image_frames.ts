/**
 * Fuzzer of image decoding: altered files of every format, whole and in part.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeImageSync } from "../../../src/data/codecs/decode.ts";
import { readImageHeader } from "../../../src/data/codecs/image_header.ts";
import { openEngineOnCpu } from "../../../src/engine/engine.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { mendChecksums, readImages } from "../image_samples.ts";
import { mutate, mutations } from "../mutations.ts";
import { PeakMemory } from "../peak_memory.ts";
import { checkRefusal } from "../refusals.ts";

const PATH = "class/fuzzed.jpg";
/** Limit of pixels, as `data.maxPixels` is: larger images are refused before memory is taken for them. */
const MAX_PIXELS = 256 * 1024;
/** Bytes that TensorFlow's decoders may take for so many pixels: several copies, of which some have 16 bits and alpha. */
const MAX_NATIVE_BYTES = 64 * 2 ** 20;

const samples = (await readImages()).filter(({ bytes }) => bytes.length < 5_000);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const peak = new PeakMemory();

export const FUZZER = defineFuzzer({
  seed: 20_009,
  isNative: true,
  input: fc.record({
    which: fc.nat(200),
    changes: mutations,
    isMended: fc.boolean(),
    part: fc.option(fc.record({ left: share, top: share, width: share, height: share }), {
      freq: 2,
    }),
  }),
  maxBytes: 16 * MAX_PIXELS,
  setUp: async () => {
    await openEngineOnCpu({ threads: { intraOp: 1, interOp: 1 } });
  },
  check({ which, changes, isMended, part }) {
    const changed = mutate(samples[which % samples.length]!, changes, samples);
    const bytes = isMended ? mendChecksums(changed) : changed;
    const partOf = part && ((size: { width: number; height: number }) => {
      const left = Math.floor(part.left * (size.width - 1)),
        top = Math.floor(part.top * (size.height - 1));
      const width = Math.max(1, Math.floor(part.width * (size.width - left)));
      return {
        left,
        top,
        width,
        height: Math.max(1, Math.floor(part.height * (size.height - top))),
      };
    });
    peak.reset();
    try {
      const options = { path: PATH, maxPixels: MAX_PIXELS };
      const image = decodeImageSync(bytes, { ...options, part: partOf ?? undefined });
      const header = readImageHeader(bytes);
      const turned = header.orientation >= 5;
      const whole = turned
        ? { width: header.height, height: header.width }
        : { width: header.width, height: header.height };
      const { width, height } = partOf ? partOf(whole) : whole;
      assert.deepEqual([image.width, image.height], [width, height]);
      assert.equal(image.data.length, width * height * 3);
      assert.ok(header.width * header.height <= MAX_PIXELS);
    } catch (error) {
      checkRefusal(error, { naming: PATH, causes: [RangeError] });
    }
    assert.ok(peak.growth() <= MAX_NATIVE_BYTES, `the process grew by ${peak.growth()} bytes`);
  },
});

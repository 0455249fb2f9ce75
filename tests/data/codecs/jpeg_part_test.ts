import assert from "node:assert/strict";
import fc from "fast-check";
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { decodeImage } from "../../../src/data/codecs/decode.ts";
import { readImageHeader } from "../../../src/data/codecs/image_header.ts";
import { canDecodePart } from "../../../src/data/codecs/jpeg_part.ts";
import { type Box, cropRgb, type RgbImage } from "../../../src/data/codecs/rgb_image.ts";
import { openEngine } from "../../../src/engine/engine.ts";

const FOLDER = new URL("../../fixtures/data/", import.meta.url);
const JPEGS = ["jpegs", "pictures"].flatMap((folder) =>
  [...Deno.readDirSync(new URL(folder, FOLDER))].map(({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".jpg")).sort()
);

function read(path: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(path, FOLDER));
}

/** Decodes a file: its pixels, or the reason why it can't be used. */
async function outcome(bytes: Uint8Array<ArrayBuffer>, box?: Box): Promise<RgbImage | string> {
  try {
    return await decodeImage(bytes, { path: "a.jpg", part: box && (() => box) });
  } catch (error) {
    assert.ok(error instanceof DataError, String(error));
    return "refused";
  }
}

/** Boxes inside of an image, as two of its corners. */
function boxes({ width, height }: RgbImage): fc.Arbitrary<Box> {
  const edges = (length: number) =>
    fc.tuple(fc.nat(length - 1), fc.nat(length - 1)).map((
      [a, b],
    ) => [Math.min(a, b), Math.max(a, b)]);
  return fc.tuple(edges(width), edges(height)).map(([[left, right], [top, bottom]]) => ({
    left,
    top,
    width: right - left + 1,
    height: bottom - top + 1,
  }));
}

Deno.test("canDecodePart() takes sequential JPEGs of one scan with grey or three colours", () => {
  const taken = JPEGS.filter((path) => {
    const bytes = read(path);
    return canDecodePart(bytes, readImageHeader(bytes).frame!);
  });
  const others = JPEGS.filter((path) => !taken.includes(path));
  assert.ok(others.every((path) => /progressive|cmyk|ycck|rgb_colours/.test(path)), String(others));
  for (const name of ["420", "422", "444", "gray", "restarts", "tall", "wide", "tiny"]) {
    assert.ok(taken.includes(`jpegs/${name}.jpg`), name);
  }
});

for (const path of JPEGS) {
  Deno.test(`decodeImage() gives a part of ${path} as if it were cut from the whole`, async () => {
    await openEngine();
    const bytes = read(path);
    const whole = await decodeImage(bytes, { path });
    await fc.assert(
      fc.asyncProperty(boxes(whole), async (box) => {
        const seen: unknown[] = [];
        const part = await decodeImage(bytes, {
          path,
          part: ({ width, height }) => (seen.push([width, height]), box),
        });
        assert.deepEqual(part, cropRgb(whole, box));
        assert.deepEqual(seen, [[whole.width, whole.height]], "the upright size, once");
      }),
      { numRuns: 60 },
    );
  });
}

Deno.test("decodeImage() refuses a JPEG that is cut off below the part, too", async () => {
  await openEngine();
  const box = { left: 3, top: 2, width: 20, height: 9 };
  for (const name of ["420", "444", "gray", "restarts", "progressive_420", "cmyk"]) {
    const whole = read(`jpegs/${name}.jpg`);
    for (let end = whole.length - 1; end > 0; end -= 211) {
      const cut = whole.slice(0, end);
      const expected = await outcome(cut); // of the very last bytes nothing may be missed
      assert.equal(typeof await outcome(cut, box), typeof expected, `${name}, ${end} bytes`);
      if (end < whole.length * 0.9) assert.equal(expected, "refused");
    }
  }
});

Deno.test("decodeImage() finds a damaged JPEG as usable or not for a part as for the whole", async () => {
  await openEngine();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("420", "422", "gray", "restarts"),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 4,
      }),
      async (name, flips) => {
        const bytes = read(`jpegs/${name}.jpg`);
        for (const [at, change] of flips) bytes[at % bytes.length] ^= change;
        const whole = await outcome(bytes);
        const box = { left: 30, top: 20, width: 25, height: 15 };
        // Damage in the header may have changed the size.
        if (typeof whole !== "string" && (whole.width < 55 || whole.height < 35)) return;
        const part = await outcome(bytes, box);
        assert.equal(typeof part, typeof whole);
      },
    ),
    { numRuns: 150 },
  );
});

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fixtures from "../fixtures/cases/decode.json" with { type: "json" };
import { DataError } from "../../src/data/codecs/data_error.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { openEngine } from "../../src/engine/engine.ts";

/** Pillow's result for a file: pixels, or an error. */
interface Expected {
  readonly file: string;
  readonly width?: number;
  readonly height?: number;
  readonly sha256?: string;
  readonly error?: string;
}

const CASES = Object.entries(fixtures as Record<string, Expected>);

/** Metadata at which Pillow stops with an exception; here they count as upright. */
const DAMAGED_METADATA = /^PNG (raw profile|text exif|XMP zTXt method 1)/;

async function pixelsOf({ file }: Expected, path: string) {
  const { width, height, data } = await decodeImage(new Uint8Array(Buffer.from(file, "base64")), {
    path,
  });
  return { width, height, sha256: createHash("sha256").update(data).digest("hex") };
}

for (const kind of ["JPEG", "PNG", "WebP", "GIF", "BMP"]) {
  Deno.test(`decodeImage() does with ${kind} files of all kinds what Pillow does`, async () => {
    await openEngine();
    let read = 0, refused = 0;
    for (const [name, expected] of CASES) {
      if (!name.startsWith(kind)) continue;
      const { width, height, sha256, error } = expected;
      if (error === undefined) {
        assert.deepEqual(await pixelsOf(expected, name), { width, height, sha256 }, name);
        read++;
      } else if (DAMAGED_METADATA.test(name) && !name.includes("MiB")) {
        const { width, height } = await pixelsOf(expected, name);
        assert.deepEqual([width, height], [3, 2], name);
      } else {
        await assert.rejects(pixelsOf(expected, name), DataError, `${name}: Pillow says ${error}`);
        refused++;
      }
    }
    assert.ok(read >= 10, `${read} read, ${refused} refused`);
  });
}

Deno.test("decodeImage() inflates a PNG's compressed text to a MiB at most", async () => {
  await openEngine();
  const { file } = (fixtures as Record<string, Expected>)[
    "PNG raw profile of a MiB and a byte, zTXt"
  ];
  await assert.rejects(pixelsOf({ file }, "bomb.png"), /inflates to more than 1048576 bytes/);
});

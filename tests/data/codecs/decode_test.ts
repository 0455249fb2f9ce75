import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import fixtures from "../../fixtures/data/pictures.json" with { type: "json" };
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { decodeImage } from "../../../src/data/codecs/decode.ts";
import { openEngine } from "../../../src/engine/engine.ts";

const IMAGES = new URL("../../fixtures/data/pictures/", import.meta.url);

/** Levels of 255 that a pixel may be off: four colours turn to three with another rounding. */
const TOLERANCES: Record<string, number> = {
  "cmyk_adobe.jpg": 1,
  "cmyk_plain.jpg": 1,
  "ycck.jpg": 1,
};

async function decode(name: string, options: { maxPixels?: number } = {}) {
  await openEngine();
  return await decodeImage(await read(name), { path: name, ...options });
}

function read(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(name, IMAGES));
}

for (const [name, expected] of Object.entries(fixtures.pictures)) {
  Deno.test(`decodeImage() gives Pillow's pixels of ${name}`, async () => {
    const { width, height, data } = await decode(name);
    assert.deepEqual([width, height], [expected.width, expected.height]);
    const pixels = inflateSync(Buffer.from(expected.rgb, "base64"));
    assert.equal(data.length, pixels.length);
    const worst = data.reduce((most, byte, i) => Math.max(most, Math.abs(byte - pixels[i])), 0);
    assert.ok(worst <= (TOLERANCES[name] ?? 0), `off by ${worst}`);
  });
}

/** The DataError's reason; anything else fails the test. */
async function reasonOf(bytes: Uint8Array<ArrayBuffer>, maxPixels?: number): Promise<string> {
  await openEngine();
  try {
    await decodeImage(bytes, { path: "a b/ü.jpg", maxPixels });
  } catch (error) {
    assert.ok(error instanceof DataError, String(error));
    assert.ok(error.message.startsWith('Image "a b/ü.jpg" can\'t be used: '), error.message);
    assert.equal(error.exitCode, 1);
    return error.reason;
  }
  assert.fail("the image was decoded");
}

Deno.test("decodeImage() names what isn't an image", async () => {
  const text = (letters: string) => new TextEncoder().encode(letters);
  assert.equal(await reasonOf(new Uint8Array()), "it is empty");
  assert.match(await reasonOf(text("<html>not found</html>")), /not a JPEG, PNG, WebP, GIF or BMP/);
  assert.match(await reasonOf(text("II*\0........")), /^TIFF files are not supported/);
  assert.match(await reasonOf(text("\0\0\0\x18ftypheic....")), /^HEIC files are not supported/);
});

Deno.test("decodeImage() refuses every truncation of every format with a DataError", async () => {
  for (
    const name of ["baseline.jpg", "rgb.png", "lossless.webp", "lossy.webp", "plain.gif", "rgb.bmp"]
  ) {
    const whole = await read(name);
    for (let part = 0; part < 20; part++) {
      const end = Math.floor(whole.length * part / 20);
      // A BMP header may end before its pixels do; the size of the rest is checked all the same.
      const reason = await reasonOf(whole.slice(0, end));
      assert.match(
        reason,
        /empty|not a|cut off|damaged/,
        `${name}, ${end} of ${whole.length} bytes`,
      );
    }
  }
});

Deno.test("decodeImage() survives flipped bytes: pixels or a DataError, nothing else", async () => {
  for (const name of Object.keys(fixtures.pictures)) {
    const whole = await read(name);
    for (let at = 0; at < Math.min(whole.length, 64); at++) {
      const broken = whole.slice();
      broken[at] ^= 0x5a;
      try {
        const image = await decodeImage(broken, { path: name, maxPixels: 1_000_000 });
        assert.equal(image.data.length, image.width * image.height * 3, `${name}, byte ${at}`);
      } catch (error) {
        assert.ok(error instanceof DataError, `${name}, byte ${at}: ${error}`);
      }
    }
  }
});

Deno.test("decodeImage() refuses a decompression bomb by its header alone", async () => {
  const png = await read("rgb.png");
  const view = new DataView(png.buffer);
  view.setUint32(16, 2 ** 31 - 1);
  view.setUint32(20, 2 ** 31 - 1);
  assert.match(await reasonOf(png), /2147483647 × 2147483647 pixels are more than data\.maxPixels/);
  const gif = await read("plain.gif");
  new DataView(gif.buffer).setUint32(6, 0xffffffff);
  assert.match(await reasonOf(gif), /65535 × 65535 pixels are more than/);
  for (const name of ["baseline.jpg", "lossy.webp", "lossless.webp", "alpha.webp", "rgb.bmp"]) {
    assert.match(await reasonOf(await read(name), 1000), /its 40 × 28 pixels are more than .*1000/);
  }
});

Deno.test("decodeImage() goes by the content, not by the name", async () => {
  await openEngine();
  const { width } = await decodeImage(await read("rgb.png"), { path: "really.jpg" });
  assert.equal(width, 40);
});

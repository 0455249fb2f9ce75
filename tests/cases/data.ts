/**
 * Cases of image files and data sets.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkFiles } from "../../src/data/datasets/check_files.ts";
import { DataError } from "../../src/data/codecs/data_error.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { scanImageFolder } from "../../src/data/datasets/image_folder.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { onlyFolder, unpackArchive } from "../../src/provision/archive.ts";
import { peakMemory, resetPeakMemory } from "../support/processes.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

const FIXTURES = new URL("../fixtures/cases/", import.meta.url);

/** SHA-256 of the pixels that Pillow 13 gives after `exif_transpose`. */
const UPRIGHT_JPEG = "0cd90f88e067b68761df897d8e12592ffbf60c40da141330d7dcc4bc2527170c";
const UPRIGHT_PNG = "69d0ae4bee5a48a3e5fbffe4f31161af830c5193f8585e71f24b13ac4d59cd7a";
const PALETTE_BMP = "6251b2468964d5fd86edae4a2a0e3600cee646cb3e396d594b636314836317c2";

function pixels(file: string, size: [number, number], sha256: string): Case {
  return {
    name: file,
    must: "Pillow's pixels",
    async run() {
      await openEngine();
      const bytes = await Deno.readFile(new URL(file, FIXTURES));
      const { width, height, data } = await decodeImage(bytes, { path: file });
      assert.deepEqual([width, height], size);
      assert.equal(createHash("sha256").update(data).digest("hex"), sha256);
    },
  };
}

function bomb(name: string, bytes: number[], message: RegExp): Case {
  return {
    name: `bombs: ${name}`,
    must: "is refused before memory is taken for it",
    async run() {
      await openEngine();
      await resetPeakMemory();
      const before = await peakMemory();
      await assert.rejects(
        decodeImage(Uint8Array.from(bytes), { path: "bomb" }),
        (error) => error instanceof DataError && message.test(error.message),
      );
      const taken = await peakMemory() - before;
      assert.ok(taken < 50, `${taken} MiB`);
    },
  };
}

const text = (letters: string) => [...new TextEncoder().encode(letters)];
const little = (bytes: number, value: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);

function riff(...chunks: number[][]): number[] {
  const body = [...text("WEBP"), ...chunks.flat()];
  return [...text("RIFF"), ...little(4, body.length), ...body];
}

function chunk(name: string, data: number[]): number[] {
  return [...text(name), ...little(4, data.length), ...data, ...(data.length % 2 ? [0] : [])];
}

/** The head of a lossless stream, and codes of one colour. */
function lossless(width: number, height: number): number[] {
  const size = (width - 1) + (height - 1) * 2 ** 14;
  return chunk("VP8L", [0x2f, ...little(4, size), 0x88, 0x88, 0x08, 0, 0, 0, 0]);
}

/** A key frame's head of a lossy stream. */
function lossy(width: number, height: number): number[] {
  return chunk("VP8 ", [
    0x10,
    0,
    0,
    0x9d,
    1,
    0x2a,
    ...little(2, width),
    ...little(2, height),
    0,
    0,
  ]);
}

function extended(width: number, height: number, flags = 0): number[] {
  return chunk("VP8X", [flags, 0, 0, 0, ...little(3, width - 1), ...little(3, height - 1)]);
}

function animated(width: number, height: number, frame: number[]): number[] {
  const place = [0, 0, width - 1, height - 1, 50].flatMap((value) => little(3, value));
  return chunk("ANMF", [...place, 0, ...frame]);
}

function gif(canvas: number, frame: number): number[] {
  const head = [...text("GIF89a"), ...little(2, canvas), ...little(2, canvas), 0x80, 0, 0];
  const size = little(2, frame);
  return [...head, 0, 0, 0, 9, 9, 9, 0x2c, 0, 0, 0, 0, ...size, ...size, 0, 2, 1, 0, 0, 0x3b];
}

function bmp(side: number, compression: number): number[] {
  const numbers = [side, side].flatMap((value) => little(4, value));
  return [
    ...[...text("BM"), ...little(8, 0), ...little(4, 54), ...little(4, 40), ...numbers, 1, 0, 8, 0],
    ...[...little(4, compression), ...little(20, 0), 0, 1],
  ];
}

export const CASES: readonly Case[] = [
  pixels("orientation/xmp6.jpg", [48, 80], UPRIGHT_JPEG),
  pixels("orientation/or6_long_be.jpg", [48, 80], UPRIGHT_JPEG),
  pixels("orientation/or6_short_le.jpg", [48, 80], UPRIGHT_JPEG),
  pixels("orientation/xmp6.png", [48, 80], UPRIGHT_PNG),
  pixels("orientation/im_profile6.png", [48, 80], UPRIGHT_PNG),
  pixels("bmp/bmp_P.bmp", [80, 48], PALETTE_BMP),
  pixels("bmp/offset54.bmp", [80, 48], PALETTE_BMP),
  bomb(
    "lossless WebP, canvas of a pixel",
    riff(extended(1, 1), lossless(16383, 16383)),
    /its frame has 16383 × 16383 pixels, its canvas 1 × 1/,
  ),
  bomb(
    "lossy WebP, canvas of a pixel",
    riff(extended(1, 1), lossy(16383, 16383)),
    /its frame has 16383 × 16383 pixels, its canvas 1 × 1/,
  ),
  bomb("lossless WebP", riff(lossless(16383, 16383)), /16383 × 16383 pixels are more than/),
  bomb("lossy WebP", riff(lossy(16383, 16383)), /16383 × 16383 pixels are more than/),
  bomb(
    "animated WebP, canvas of a pixel",
    riff(extended(1, 1, 2), animated(16383, 16383, lossless(16383, 16383))),
    /its frame has 16383 × 16383 pixels, its canvas 1 × 1/,
  ),
  bomb(
    "animated WebP, frame announced as a pixel",
    riff(extended(1, 1, 2), animated(1, 1, lossy(16383, 16383))),
    /its frame has 16383 × 16383 pixels, announced as 1 × 1/,
  ),
  bomb(
    "animated WebP, large canvas",
    riff(extended(16383, 16383, 2), animated(16383, 16383, lossy(16383, 16383))),
    /16383 × 16383 pixels are more than/,
  ),
  bomb("GIF, canvas of a pixel", gif(1, 30000), /30000 × 30000 pixels are more than/),
  bomb("GIF, frame of a pixel", gif(30000, 1), /30000 × 30000 pixels are more than/),
  bomb("BMP of run lengths", bmp(50000, 1), /50000 × 50000 pixels are more than/),
  bomb("BMP that is cut off", bmp(9000, 0), /cut off/),
  ...["mac_in.zip", "backslash.zip", "stray.zip"].map((name): Case => ({
    name: `archives/${name}`,
    must: "its classes and images, wherever they are in it",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const target = join(folder, "unpacked");
        await unpackArchive(fileURLToPath(new URL(`archives/${name}`, FIXTURES)), target, () => {});
        const { classes, train, val } = await scanImageFolder(await onlyFolder(target));
        assert.deepEqual(classes, ["a", "b"]);
        assert.deepEqual([train.length, val.length], [4, 4]);
      }),
  })),
  {
    name: "bad_validation_file",
    must: "an error before the start, with the file, data.onError and data check",
    run: () =>
      withTemporaryFolder(async (root) => {
        await makeImages(root, { train: 2, val: 2 });
        await Deno.writeTextFile(join(root, "val", "light", "1.jpg"), "");
        await assert.rejects(
          checkFiles(await scanImageFolder(root), { onError: "fail" }),
          /"val\/light\/1\.jpg" \(it is empty\).*data\.onError=skip.*deno task data check/,
        );
      }),
  },
];

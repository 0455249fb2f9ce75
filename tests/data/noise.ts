import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import images from "../fixtures/data/pictures.json" with { type: "json" };
import type { RgbImage } from "../../src/data/codecs/rgb_image.ts";

/** The same noise as in scripts/make_transform_fixtures.py. */
export function noise(width: number, height: number, seed: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return { width, height, data };
}

/** A fixture's image: [width, height, seed] of noise, or the image rgb.png. */
export function sourceOf(source: number[] | string): RgbImage {
  if (typeof source !== "string") return noise(source[0], source[1], source[2]);
  const { width, height, rgb } = images.pictures["rgb.png"];
  return { width, height, data: new Uint8Array(inflateSync(Buffer.from(rgb, "base64"))) };
}

/** SHA-256 of some bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Returns the digest of a result that the fixtures keep. */
export function shortDigest({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array): string {
  return sha256(new Uint8Array(buffer, byteOffset, byteLength)).slice(0, 16);
}

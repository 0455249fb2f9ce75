/**
 * All that is to be known of one image file: whether it decodes, what it is, and by what it is compared.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { messageOf, reasonOf } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { decodeImage, MAX_IMAGE_BYTES } from "../data/codecs/decode.ts";
import {
  type ImageFormat,
  type ImageHeader,
  NAMES,
  readImageHeader,
  sniffFormat,
} from "../data/codecs/image_header.ts";
import type { RgbImage } from "../data/codecs/rgb_image.ts";
import type { FindingKind } from "./kinds.ts";
import { type PerceptualHash, perceptualHash } from "./perceptual_hash.ts";
import { type ImageTrait, imageTraits, isCutOff, rareJpegKind } from "./image_traits.ts";

/** The facts about one image. */
export interface ImageFacts {
  /** SHA-256 of the file, in hexadecimal; missing when it couldn't be read. */
  readonly sha256?: string;
  /** The format of the content. */
  readonly format?: ImageFormat;
  /** Pixels, upright. */
  readonly width?: number;
  readonly height?: number;
  readonly traits: readonly ImageTrait[];
  /** Only of an image that decodes. */
  readonly hash?: PerceptualHash;
  /** The reason why the image can't be used. */
  readonly problem?: { readonly kind: FindingKind; readonly detail: string };
}

/** Reads an image and decodes all of it with the loader's decoder; the engine must be open. */
export async function inspectImage(path: string, maxPixels: number): Promise<ImageFacts> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await readRegularFile(path, MAX_IMAGE_BYTES);
  } catch (error) {
    return { traits: [], problem: { kind: "unreadable", detail: readingFailed(error) } };
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { sha256, ...await inspectBytes(bytes, maxPixels) };
}

async function inspectBytes(
  bytes: Uint8Array<ArrayBuffer>,
  maxPixels: number,
): Promise<ImageFacts> {
  if (bytes.length === 0) return { traits: [], problem: { kind: "empty", detail: "" } };
  const format = sniffFormat(bytes);
  let header: ImageHeader;
  try {
    header = readImageHeader(bytes);
  } catch (error) {
    const detail = messageOf(error);
    const kind = detail.includes("not supported") ? "unsupported" : format ? "damaged" : "notImage";
    return { ...(format ? { format } : {}), traits: [], problem: { kind, detail } };
  }
  const turned = header.orientation >= 5;
  const [width, height] = turned ? [header.height, header.width] : [header.width, header.height];
  const known = { format: header.format, width, height, traits: [] };
  if (width * height > maxPixels) {
    const detail = `${width} × ${height} pixels, more than ${maxPixels}`;
    return { ...known, problem: { kind: "tooManyPixels", detail } };
  }
  const rare = rareJpegKind(bytes, header);
  if (rare) return { ...known, problem: { kind: "unsupported", detail: rare } };
  try {
    const image = await decodeImage(bytes, { path: "", maxPixels });
    return { ...known, traits: imageTraits(bytes, header), hash: perceptualHash(image) };
  } catch (error) {
    return { ...known, problem: decodingFailed(error, bytes, header) };
  }
}

/** Returns the facts about an image that is given as pixels and has no file of its own. */
export function inspectPixels(image: RgbImage): ImageFacts {
  const { width, height, data } = image;
  const sha256 = createHash("sha256").update(data).digest("hex");
  return { sha256, width, height, traits: [], hash: perceptualHash(image) };
}

function readingFailed(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) {
    return "it is a link to nothing, vanished, or its name isn't UTF-8";
  }
  if (error instanceof Deno.errors.PermissionDenied) return "no permission";
  return reasonOf(error);
}

/** Names the kind by the file's structure; the decoder's own words say little. */
function decodingFailed(
  error: unknown,
  bytes: Uint8Array,
  header: ImageHeader,
): { kind: FindingKind; detail: string } {
  const name = NAMES[header.format];
  if (isCutOff(bytes, header)) return { kind: "damaged", detail: `cut off (${name})` };
  const reason = (error as { reason?: string }).reason ?? messageOf(error);
  if (reason.includes("not supported")) return { kind: "unsupported", detail: reason };
  if (/cut off/.test(reason) && header.format === "bmp") {
    return { kind: "damaged", detail: `cut off (${name})` };
  }
  return { kind: "damaged", detail: `damaged (${name})` };
}

/**
 * The process that decodes for a check. Files of unknown origin are decoded here, and not where the check
 * runs: this process may read and call TensorFlow, and nothing else; and when a file ends it, only that file's result
 * is lost.
 *
 * It answers each line of standard input with a line of standard output. Images come one after the other, and
 * standard error says where one begins: so what the C libraries print about an image can be told from
 * what they print about the next.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createInterface } from "node:readline";
import process from "node:process";
import { LockstepError, messageOf } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { ignoreStopSignals } from "../base/signals.ts";
import { decodeImage } from "../data/codecs/decode.ts";
import { resizeRgb } from "../data/resizing/resize.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { type ImageFacts, inspectImage } from "./inspect_image.ts";

/** Begins a line of standard error that says which image is next. */
export const IMAGE_MARK = "@lockstep image ";

/** A request to a checker, one line of JSON. */
export interface CheckRequest {
  readonly index: number;
  /** A file. */
  readonly path: string;
  readonly maxPixels: number;
  /** Gives pixels of at most this many on a side, instead of facts. */
  readonly thumbnail?: number;
}

/** A small image on its way between processes. */
export interface Thumbnail {
  readonly width: number;
  readonly height: number;
  /** Base64 of `[height, width, 3]`. */
  readonly rgb: string;
}

/** The answer of a checker, one line of JSON. */
export type CheckAnswer =
  | { readonly kind: "ready" }
  /** It can't work at all, such as without libtensorflow. */
  | { readonly kind: "failed"; readonly message: string; readonly known: boolean }
  | { readonly kind: "facts"; readonly index: number; readonly facts: ImageFacts }
  | { readonly kind: "thumbnail"; readonly index: number; readonly thumbnail?: Thumbnail };

/** Answers until standard input ends. */
export async function runChecker(): Promise<number> {
  // A signal to the group reaches this process as well; it ends when its standard input does.
  ignoreStopSignals();
  try {
    await openEngineOnCpu({ threads: { intraOp: 1, interOp: 1 } });
  } catch (error) {
    send({ kind: "failed", message: messageOf(error), known: error instanceof LockstepError });
    return 1;
  }
  send({ kind: "ready" });
  for await (const line of createInterface({ input: process.stdin })) {
    const request: CheckRequest = JSON.parse(line);
    const { index, path, maxPixels, thumbnail } = request;
    write(Deno.stderr, `\n${IMAGE_MARK}${index}\n`);
    if (thumbnail === undefined) {
      send({ kind: "facts", index, facts: await inspectImage(path, maxPixels) });
    } else send({ kind: "thumbnail", index, ...await thumbnailOf(path, maxPixels, thumbnail) });
  }
  return 0;
}

/** Nothing when the file has changed since it was checked, and can't be decoded any more. */
async function thumbnailOf(
  path: string,
  maxPixels: number,
  side: number,
): Promise<{ thumbnail?: Thumbnail }> {
  try {
    const image = await decodeImage(await readRegularFile(path), { path, maxPixels });
    return { thumbnail: shrink(image, side) };
  } catch {
    return {};
  }
}

/** At most so many pixels on a side, in the shape of the image. */
export function shrink(image: { width: number; height: number; data: Uint8Array }, side: number) {
  const factor = Math.min(1, side / Math.max(image.width, image.height));
  const size = (pixels: number) => Math.max(1, Math.round(pixels * factor));
  const { width, height, data } = resizeRgb(image, size(image.width), size(image.height));
  return { width, height, rgb: Buffer.from(data).toString("base64") };
}

function send(answer: CheckAnswer): void {
  write(Deno.stdout, JSON.stringify(answer) + "\n");
}

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

/**
 * TensorFlow's image decoders, and its JPEG encoder.
 *
 * @module
 */
import { type Attribute, ATTRIBUTE_TYPES, DATA_TYPES } from "./binding/attributes.ts";
import type { Runtime, TensorId, TensorMetadata } from "./binding/runtime.ts";
import { nativeRuntime } from "./native_runtime.ts";

/** Formats that TensorFlow decodes. */
export type NativeImageFormat = "jpeg" | "png" | "gif" | "bmp" | "webp";

/** A decoded image. */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  /** RGB, row by row, 8 bits each: `height × width × 3` bytes. */
  readonly data: Uint8Array;
}

/** A part of an image, in pixels from its top left corner. */
export interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const CHANNELS: Attribute = { name: "channels", type: ATTRIBUTE_TYPES.TF_ATTR_INT, value: 3 };

/** Ops and attributes; the JPEG ones make libjpeg-turbo decode as Pillow does. */
const DECODERS: Record<NativeImageFormat, readonly [string, readonly Attribute[]]> = {
  jpeg: ["DecodeJpeg", [
    CHANNELS,
    { name: "fancy_upscaling", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: true },
    { name: "dct_method", type: ATTRIBUTE_TYPES.TF_ATTR_STRING, value: "INTEGER_ACCURATE" },
  ]],
  png: ["DecodePng", [CHANNELS]],
  gif: ["DecodeGif", []],
  bmp: ["DecodeBmp", []],
  webp: ["DecodeWebP", [CHANNELS]],
};

/** An op that image code wants to run. */
interface ImageOp {
  readonly runtime: Runtime;
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly inputs: readonly TensorId[];
}

/**
 * Work on images that needs ops in between: whoever drives it decides where they run. {@linkcode onOtherThreads} and
 * {@linkcode onThisThread} do.
 */
export type ImageWork<T> = Generator<ImageOp, T, TensorMetadata[]>;

/** Does work with its ops on TensorFlow's side, on other threads; JavaScript goes on meanwhile. */
export async function onOtherThreads<T>(work: ImageWork<T>): Promise<T> {
  let next = work.next();
  while (!next.done) {
    const { runtime, name, attributes, inputs } = next.value;
    let outputs: TensorMetadata[];
    try {
      outputs = await runtime.executeAsync(name, attributes, inputs, 1);
    } catch (error) {
      next = work.throw(error);
      continue;
    }
    next = work.next(outputs);
  }
  return next.value;
}

/** Does work with its ops on the calling thread, which waits for them. */
export function onThisThread<T>(work: ImageWork<T>): T {
  let next = work.next();
  while (!next.done) {
    const { runtime, name, attributes, inputs } = next.value;
    let outputs: TensorMetadata[];
    try {
      outputs = runtime.execute(name, attributes, inputs);
    } catch (error) {
      next = work.throw(error);
      continue;
    }
    next = work.next(outputs);
  }
  return next.value;
}

/**
 * Decodes an image to RGB; of an animation the first frame.
 *
 * @param bytes The file
 * @throws {EngineError} when the file is damaged or of another format
 */
export function* decodeImageNative(
  bytes: Uint8Array<ArrayBuffer>,
  format: NativeImageFormat,
): ImageWork<DecodedImage> {
  const runtime = nativeRuntime();
  const [name, attributes] = DECODERS[format];
  const input = runtime.createStringView(bytes);
  try {
    const [output] = yield { runtime, name, attributes, inputs: [input] };
    try {
      const [height, width, channels] = output.shape.slice(-3);
      const frame = height * width * channels;
      const data = runtime.withBytes(
        output.id,
        (frames) => channels === 3 ? frames.slice(0, frame) : toRgb(frames, frame, channels),
      );
      return { width, height, data };
    } finally {
      runtime.deleteTensor(output.id);
    }
  } finally {
    runtime.deleteTensor(input);
  }
}

/**
 * Decodes a part of a JPEG to RGB.
 *
 * @param bytes The file
 * @param part The part to return
 * @param decoded The part to decode: `part` and some pixels around it
 * @throws {EngineError} when the file is damaged (within the part or above it) or of another format
 */
export function* decodeJpegPartNative(
  bytes: Uint8Array<ArrayBuffer>,
  part: Part,
  decoded: Part,
): ImageWork<DecodedImage> {
  const runtime = nativeRuntime();
  const window = Int32Array.of(decoded.top, decoded.left, decoded.height, decoded.width);
  const inputs = [
    runtime.createStringView(bytes),
    runtime.createTensor([4], DATA_TYPES.TF_INT32, window),
  ];
  try {
    const [, attributes] = DECODERS.jpeg;
    const [output] = yield { runtime, name: "DecodeAndCropJpeg", attributes, inputs };
    try {
      return runtime.withBytes(output.id, (pixels) => {
        const stride = decoded.width * 3, length = part.width * 3;
        const first = (part.top - decoded.top) * stride + (part.left - decoded.left) * 3;
        const data = new Uint8Array(part.height * length);
        for (let y = 0; y < part.height; y++) {
          const from = first + y * stride;
          data.set(pixels.subarray(from, from + length), y * length);
        }
        return { width: part.width, height: part.height, data };
      });
    } finally {
      runtime.deleteTensor(output.id);
    }
  } finally {
    inputs.forEach((input) => runtime.deleteTensor(input));
  }
}

/**
 * Encodes an image as a JPEG with 4:2:0 chroma, as cameras and the web have them.
 *
 * @param quality 0–100
 */
export function encodeJpegNative(
  { width, height, data }: DecodedImage,
  quality: number,
): Uint8Array<ArrayBuffer> {
  const runtime = nativeRuntime();
  const input = runtime.createTensor([height, width, 3], DATA_TYPES.TF_UINT8, data);
  try {
    const [output] = runtime.execute("EncodeJpeg", [
      { name: "quality", type: ATTRIBUTE_TYPES.TF_ATTR_INT, value: quality },
      { name: "format", type: ATTRIBUTE_TYPES.TF_ATTR_STRING, value: "rgb" },
    ], [input]);
    try {
      const [bytes] = runtime.read(output.id) as Uint8Array<ArrayBuffer>[];
      return bytes;
    } finally {
      runtime.deleteTensor(output.id);
    }
  } finally {
    runtime.deleteTensor(input);
  }
}

/** DecodeBmp keeps the file's number of channels. */
function toRgb(pixels: Uint8Array, bytes: number, channels: number): Uint8Array {
  const count = bytes / channels;
  const rgb = new Uint8Array(count * 3);
  for (let pixel = 0; pixel < count; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = pixels[pixel * channels + (channels === 1 ? 0 : channel)];
    }
  }
  return rgb;
}

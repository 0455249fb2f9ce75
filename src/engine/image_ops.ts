/**
 * TensorFlow's image decoders, run on another thread, and its JPEG encoder.
 *
 * @module
 */
import { type Attribute, ATTRIBUTE_TYPES, DATA_TYPES } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";

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

/**
 * Decodes an image to RGB; of an animation the first frame.
 *
 * @param bytes The file
 * @throws {EngineError} when the file is damaged or of another format
 */
export async function decodeImageNative(
  bytes: Uint8Array<ArrayBuffer>,
  format: NativeImageFormat,
): Promise<DecodedImage> {
  const { runtime } = nativeBackend();
  const [op, attributes] = DECODERS[format];
  const input = runtime.createStringView(bytes);
  try {
    const [output] = await runtime.executeAsync(op, attributes, [input], 1);
    try {
      const [height, width, channels] = output.shape.slice(-3);
      const frame = height * width * channels;
      const frames = new Uint8Array(output.shape.reduce((product, size) => product * size, 1));
      runtime.readInto(output.id, frames);
      return { width, height, data: toRgb(frames.subarray(0, frame), channels) };
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
export async function decodeJpegPartNative(
  bytes: Uint8Array<ArrayBuffer>,
  part: Part,
  decoded: Part,
): Promise<DecodedImage> {
  const { runtime } = nativeBackend();
  const window = Int32Array.of(decoded.top, decoded.left, decoded.height, decoded.width);
  const inputs = [
    runtime.createStringView(bytes),
    runtime.createTensor([4], DATA_TYPES.TF_INT32, window),
  ];
  try {
    const [, attributes] = DECODERS.jpeg;
    const [output] = await runtime.executeAsync("DecodeAndCropJpeg", attributes, inputs, 1);
    try {
      const stride = decoded.width * 3, length = part.width * 3;
      const pixels = scratchOf(decoded.height * stride);
      runtime.readInto(output.id, pixels);
      const first = (part.top - decoded.top) * stride + (part.left - decoded.left) * 3;
      const data = new Uint8Array(part.height * length);
      for (let y = 0; y < part.height; y++) {
        const from = first + y * stride;
        data.set(pixels.subarray(from, from + length), y * length);
      }
      return { width: part.width, height: part.height, data };
    } finally {
      runtime.deleteTensor(output.id);
    }
  } finally {
    inputs.forEach((input) => runtime.deleteTensor(input));
  }
}

/** The most memory that is kept from one image to the next. */
const SCRATCH_BYTES = 4 * 2 ** 20;
let scratch = new Uint8Array(0);

/** Memory for use before the next `await`: fresh memory for each image would keep the collector busy. */
function scratchOf(bytes: number): Uint8Array {
  if (bytes > SCRATCH_BYTES) return new Uint8Array(bytes);
  if (bytes > scratch.length) scratch = new Uint8Array(bytes);
  return scratch.subarray(0, bytes);
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
  const { runtime } = nativeBackend();
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
function toRgb(pixels: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return pixels;
  const count = pixels.length / channels;
  const rgb = new Uint8Array(count * 3);
  for (let pixel = 0; pixel < count; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = pixels[pixel * channels + (channels === 1 ? 0 : channel)];
    }
  }
  return rgb;
}

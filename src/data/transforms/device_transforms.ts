/**
 * The last transforms of a list, which the device can do with a whole batch of bytes: mirroring, the step to
 * floats with Normalize in it, erasing.
 *
 * What an image's random numbers have decided travels with its bytes, as a few bytes of parameters. So the same
 * numbers are drawn in the same order whoever does the work.
 *
 * @module
 */
import type { Box } from "../codecs/rgb_image.ts";
import type { Rgb, Size } from "./arguments.ts";
import { FloatTable, type Normalization } from "./normalize.ts";
import { partsOf, type TransformSpec } from "./table.ts";
import type { MirrorAxis } from "./transform.ts";

/** Bytes of an erased box among an image's parameters: its top, bottom, left and right, 16 bits each. */
export const BOX_BYTES = 8;

/** The least normal number of float32: TensorFlow's kernels take what is nearer to 0 as 0. */
const MIN_NORMAL = 2 ** -126;

/** The last transforms of a list, in their order: mirroring, normalizing, erasing. */
export interface DeviceTransforms {
  /** Height and width of the images. */
  readonly size: Size;
  /** The axes along which an image may be mirrored. */
  readonly mirrors: readonly MirrorAxis[];
  /** The float of each byte. */
  readonly table: FloatTable;
  /** The colour of each erased box. */
  readonly erasing: readonly Rgb[];
  /** Bytes of an image's pixels. */
  readonly pixelBytes: number;
  /**
   * Bytes of an image's pixels and parameters: of these 1 for each axis, whether it is mirrored, and
   * {@linkcode BOX_BYTES} for each box.
   */
  readonly rowBytes: number;
}

/**
 * The transforms that may be left to the device, and which of a list's they are.
 *
 * @returns Nothing when the floats must be made here: where a box is filled with random numbers, or where the
 * device's arithmetic could give other bits
 */
export function planDevice(
  specs: readonly TransformSpec[],
  size: Size,
): { device: DeviceTransforms; deferred: ReadonlySet<TransformSpec> } | undefined {
  const deferred = new Set<TransformSpec>();
  const mirrors = new Set<MirrorAxis>();
  const erasing: Rgb[] = [];
  for (const spec of [...specs].reverse()) {
    const { transform } = partsOf(spec);
    if (!transform.onImage) continue;
    if (transform.mirror) {
      deferred.add(spec);
      mirrors.add(transform.mirror.axis);
    } else if (!transform.ignoresMirroring) break;
  }
  for (const spec of specs) {
    const { transform, args } = partsOf(spec);
    if (!transform.onFloats) continue;
    const colour = transform.erase?.colour(args);
    if (!colour?.every(isPlain)) return undefined;
    deferred.add(spec);
    erasing.push(colour);
  }
  const table = new FloatTable(normalizationOf(specs));
  if (!hasPlainSteps(table)) return undefined;
  const axes = (["x", "y"] as const).filter((axis) => mirrors.has(axis));
  const pixelBytes = size[0] * size[1] * 3;
  const rowBytes = pixelBytes + axes.length + erasing.length * BOX_BYTES;
  return { device: { size, mirrors: axes, table, erasing, pixelBytes, rowBytes }, deferred };
}

/** The arguments of a list's Normalize. */
export function normalizationOf(specs: readonly TransformSpec[]): Normalization | undefined {
  return specs.map((spec) => "Normalize" in spec ? spec.Normalize : undefined).find(Boolean);
}

/** Writes a box among an image's parameters. */
export function writeBox(parameters: Uint8Array, at: number, box: Box): void {
  const view = new DataView(parameters.buffer, parameters.byteOffset + at, BOX_BYTES);
  const { top, left, width, height } = box;
  [top, top + height, left, left + width].forEach((edge, index) =>
    view.setUint16(index * 2, edge, true)
  );
}

/** Reads what {@linkcode writeBox} wrote; without pixels where there is no box. */
export function readBox(parameters: Uint8Array, at: number): Box {
  const view = new DataView(parameters.buffer, parameters.byteOffset + at, BOX_BYTES);
  const [top, bottom, left, right] = [0, 2, 4, 6].map((byte) => view.getUint16(byte, true));
  return { top: top!, left: left!, width: right! - left!, height: bottom! - top! };
}

/** The least value of a pixel that isn't 0, without its sign. */
export function leastMagnitude({ table, erasing }: DeviceTransforms): number {
  return [...table.floats, ...erasing.flat()].map(Math.abs)
    .reduce((least, value) => value === 0 ? least : Math.min(least, value), Infinity);
}

/** True for a number that all kernels keep as it is: 0, or normal in float32. */
function isPlain(value: number): boolean {
  const rounded = Math.fround(value);
  return Object.is(rounded, 0) || Math.abs(rounded) >= MIN_NORMAL;
}

/** Tells whether no step from a byte to its float meets a number that isn't plain. */
function hasPlainSteps({ floats, normalization }: FloatTable): boolean {
  const { mean, std } = normalization ?? { mean: [], std: [] };
  const centered = mean.flatMap((value) =>
    Array.from(
      { length: 256 },
      (_, byte) => Math.fround(Math.fround(byte / 255) - Math.fround(value)),
    )
  );
  return [...floats, ...mean, ...std, ...centered].every(isPlain);
}

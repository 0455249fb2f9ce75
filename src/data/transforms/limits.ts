/**
 * A limit to what transforms may make of an image.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";

/** A long thin image, resized by its shorter side or turned, may grow beyond all memory. */
const MAX_PIXELS = 100_000_000;

/**
 * Stops a transform from making an image of more than 100 million pixels.
 *
 * @param what The transform's name
 * @throws {LockstepError} when it would
 */
export function requireRoom(
  what: string,
  image: { width: number; height: number },
  width: number,
  height: number,
): void {
  if (width * height <= MAX_PIXELS) return;
  throw new LockstepError(
    `${what} would make its ${image.width} × ${image.height} pixels ${width} × ${height}`,
  );
}

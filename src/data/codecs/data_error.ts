/**
 * The error that an unusable image throws.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";

/** An image can't be read, decoded or transformed; by `data.onError` it is skipped or ends the run. */
export class DataError extends LockstepError {
  override name = "DataError";

  /**
   * @param path The image's file, relative to the data's root
   * @param reason The fault of the image, as the end of a sentence
   */
  constructor(readonly path: string, readonly reason: string, options?: ErrorOptions) {
    super(`Image ${JSON.stringify(path)} can't be used: ${reason}`, options);
  }
}

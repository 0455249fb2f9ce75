/**
 * TensorBoard as a config turns it on.
 *
 * @module
 */
import type { LoggerDeclaration } from "../logger.ts";

/**
 * TensorBoard's event files in `<run>/tensorboard/`. On by default: a point costs a fraction of a millisecond and about
 * a kilobyte, and pictures are added only when there is a new best epoch.
 */
export const tensorboard: LoggerDeclaration = {
  title: "TensorBoard",
  isDefault: true,
  help: "Write TensorBoard's event files into `<run>/tensorboard/`.",
  open: async (start) => (await import("../tensorboard.ts")).openTensorBoard(start),
};

/**
 * The check of the engine's settings that a GPU can't be used with.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";

/**
 * Checks an engine's settings before a GPU is used with them.
 *
 * @throws {UsageError} for `capture: false`: the weights stand in this process's memory, and each single op would copy
 * those that it reads to the GPU
 */
export function checkGpuSettings({ capture }: { readonly capture: boolean }): void {
  if (capture) return;
  throw new UsageError(
    "engine.capture is false, but the workers compute on GPUs, where each op would copy its weights to the GPU again: " +
      "set engine.capture to true, or device to cpu",
  );
}

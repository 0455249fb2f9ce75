/**
 * The check of the engine's settings that a GPU can't be used with.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { checkBf16 } from "./bf16.ts";

/**
 * Checks an engine's settings before a GPU is used with them.
 *
 * @throws {UsageError} for bfloat16, whose rewrite is for CPUs; and for `capture: false`: the weights stand in this process's memory, and each single op would copy
 * those that it reads to the GPU
 */
export function checkGpuSettings(
  { capture, precision }: { readonly capture: boolean; readonly precision: "float32" | "bf16" },
): void {
  if (precision === "bf16") checkBf16(true);
  if (capture) return;
  throw new UsageError(
    "engine.capture is false, but the workers compute on GPUs, where each op would copy its weights to the GPU again: " +
      "set engine.capture to true, or device to cpu",
  );
}

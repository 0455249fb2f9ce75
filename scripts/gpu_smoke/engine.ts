/**
 * The engine of a check, on the device that is checked.
 *
 * @module
 */
import { type NativeEngine, openEngine } from "../../src/engine/engine.ts";
import type { CheckContext } from "./check.ts";

/**
 * Opens the engine with TensorFlow's notices in the check's log. All later calls of the product's own code get the same
 * engine.
 *
 * @throws {UsageError} when the library doesn't load, or finds no GPU
 */
export async function openSmokeEngine(
  { device, libraryPath }: Pick<CheckContext, "device" | "libraryPath">,
): Promise<NativeEngine> {
  return await openEngine({ device, libraryPath, verbose: true });
}

/** Returns TensorFlow's name of the device that is checked: the first GPU, or the CPU. */
export function deviceName({ devices, hasGpu }: NativeEngine): string {
  const type = hasGpu ? "GPU" : "CPU";
  return devices.find((device) => device.type === type)!.name;
}

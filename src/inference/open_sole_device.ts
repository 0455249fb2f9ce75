/**
 * The device of a process that computes by itself, without workers.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { naming } from "../base/invocation.ts";
import { type NativeEngine, openEngine } from "../engine/engine.ts";
import type { Numerics } from "../engine/numerics.ts";
import type { Threads } from "../engine/binding/runtime.ts";
import { type DeviceWishes, findDevices } from "../gpus/find_devices.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import type { Progress } from "../provision/progress.ts";

/** Options of {@linkcode openSoleDevice}. */
export interface SoleDeviceOptions extends Numerics {
  readonly progress: Progress;
  readonly onWarning: (warning: string) => void;
  readonly threads?: Threads;
  readonly verbose?: boolean;
}

/**
 * Opens the engine on one device: the GPU that is named, a free one, or the CPU of a machine without any. The library is
 * fetched when it is missing.
 *
 * @throws {UsageError} when the GPU can't be used, or several are named
 */
export async function openSoleDevice(
  { device = "auto", devices }: Partial<DeviceWishes>,
  { progress, onWarning, threads, verbose, precision, deterministic }: SoleDeviceOptions,
): Promise<NativeEngine> {
  if (devices && devices.length > 1) {
    throw new UsageError(
      `${naming("devices")} names ${
        devices.join(",")
      }, but this command computes in one process, on one GPU: name one`,
    );
  }
  const { devices: [sole], build, warnings } = await findDevices({
    ...{ device, devices, workers: 1 },
    sharesHeld: true, // one process with little to compute: it takes a free GPU where there is one
  });
  warnings.forEach(onWarning);
  const libraryPath = await ensureLibtensorflow(progress, build);
  return await openEngine({
    device: sole?.kind ?? "cpu",
    ...(sole?.kind === "gpu" ? { gpu: sole.uuid } : {}),
    libraryPath,
    ...given("threads", threads),
    ...given("verbose", verbose),
    ...{ precision, deterministic },
  });
}

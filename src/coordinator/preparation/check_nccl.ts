/**
 * The check of `exchange: nccl` against the devices of a run, before any worker is started.
 *
 * @module
 */
import type { ComputeDevice } from "../../base/compute_device.ts";
import { UsageError } from "../../base/errors.ts";
import { naming } from "../../base/invocation.ts";
import type { Config } from "../../config/schema.ts";

/**
 * Refuses NCCL where it can't sum.
 *
 * @param devices One per worker
 * @throws {UsageError} when workers compute on the CPU, or share a GPU
 */
export function checkNccl(
  { exchange }: Pick<Config, "exchange">,
  devices: readonly ComputeDevice[],
): void {
  if (exchange !== "nccl") return;
  const places = devices.map((device) => device.kind === "gpu" ? device.busId : undefined);
  if (places.includes(undefined)) {
    throw new UsageError(
      "exchange is nccl, which sums on GPUs, but the workers compute on the CPU: set exchange to auto, or " +
        `${naming("device")} to gpu`,
    );
  }
  const second = places.findIndex((place, worker) => places.indexOf(place) < worker);
  if (second < 0) return;
  const first = places.indexOf(places[second]);
  const device = devices[second]!;
  const name = device.kind === "gpu" ? `GPU ${device.index}` : "a GPU";
  throw new UsageError(
    `exchange is nccl, but workers ${first} and ${second} share ${name}, which NCCL refuses: set exchange to auto or ` +
      `shared-memory, or ${naming("workers")} to ${new Set(places).size}`,
  );
}

/**
 * A worker's wish to sum by NCCL, from its config and its device.
 *
 * @module
 */
import type { ComputeDevice } from "../base/compute_device.ts";
import type { Config } from "../config/schema.ts";
import { engineGpu } from "../engine/nccl_device.ts";
import type { NcclWish } from "../exchange/open_exchange.ts";

/**
 * Returns the wish; nothing where no rank has one. All ranks of a run compute on GPUs, or all on the CPU.
 *
 * @param signal Ends the wait for the other ranks
 */
export function ncclWish(
  { exchange: kind, nccl: { bucketSize }, engine: { deterministic } }: Pick<
    Config,
    "exchange" | "nccl" | "engine"
  >,
  device: ComputeDevice,
  signal: AbortSignal,
): NcclWish | undefined {
  const isGpu = device.kind === "gpu";
  if (kind !== "nccl" && !(kind === "auto" && isGpu)) return undefined;
  return {
    kind,
    device: isGpu ? engineGpu(device.uuid) : undefined,
    ...{ signal, deterministic },
    ...(bucketSize > 0 ? { bucketBytes: bucketSize } : {}),
  };
}

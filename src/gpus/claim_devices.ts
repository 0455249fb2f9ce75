/**
 * Devices of a run that no other run of this host gets.
 *
 * @module
 */
import {
  type DeviceWishes,
  findDevices,
  type FoundDevices,
  type Surroundings,
  surroundings,
} from "./find_devices.ts";
import { claimGpus, type ClaimOptions } from "./gpu_claims.ts";

/** Devices that are held until they are disposed of. */
export interface ClaimedDevices extends FoundDevices, Disposable {}

/** Choices that others may spoil by choosing at the same moment. */
const MAX_ATTEMPTS = 20;

/**
 * Finds a device for each worker, and holds those that are GPUs against other runs of this host until the result is
 * disposed of.
 *
 * @param machine This one unless given
 * @throws {UsageError} when GPUs can't be used as wished, or others hold them, naming the cure
 */
export async function claimDevices(
  wishes: DeviceWishes,
  options: Pick<ClaimOptions, "run" | "lends">,
  machine: Surroundings = surroundings(),
): Promise<ClaimedDevices> {
  for (let attempt = 1;; attempt++) {
    const found = await findDevices(wishes, machine);
    const uuids = found.devices.flatMap((device) => device.kind === "gpu" ? [device.uuid] : []);
    if (!machine.claims || uuids.length === 0) return { ...found, [Symbol.dispose]: () => {} };
    // After so many attempts the claims themselves must be at fault.
    const shares = wishes.sharesHeld === true || attempt > MAX_ATTEMPTS;
    const claim = await claimGpus(uuids, { ...options, shares, folder: machine.claims.folder });
    if (!claim) continue; // another run was faster: its GPUs are left out, or named, next time
    const { problem } = claim;
    const warnings = problem === undefined ? [] : [
      `Other runs of this machine may take the GPUs of this one, as it can't lock them: ${problem}`,
    ];
    return {
      ...found,
      warnings: [...found.warnings, ...warnings],
      [Symbol.dispose]: () => claim[Symbol.dispose](),
    };
  }
}

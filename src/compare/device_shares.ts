/**
 * The GPUs of runs that go on at the same time: each run sees a share of its own.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { UsageError } from "../base/errors.ts";
import type { LoadedConfig } from "../config/schema.ts";
import { claimDevices } from "../gpus/claim_devices.ts";
import type { Surroundings } from "../gpus/find_devices.ts";
import { VISIBLE_DEVICES } from "../gpus/visible_devices.ts";

/** Environment variables of a run's process. */
export type Variables = Readonly<Record<string, string>>;

/** Shares of the machine's GPUs, each lent to one run at a time, and held against other runs until disposed of. */
export class DeviceShares implements Disposable {
  readonly #free: Variables[];
  readonly #held: Disposable | undefined;

  private constructor(shares: readonly Variables[], held?: Disposable) {
    this.#free = [...shares];
    this.#held = held;
  }

  /**
   * Divides the free GPUs among runs that go on at the same time. A single one, or runs on the CPU, see what there is.
   *
   * @param parallel Runs that go on at the same time
   * @param machine This one unless given
   * @throws {UsageError} when there are fewer GPUs than runs, or a config names GPUs
   */
  static async divide(
    configs: readonly Pick<LoadedConfig, "device" | "devices">[],
    parallel: number,
    machine?: Surroundings,
  ): Promise<DeviceShares> {
    const all = Array.from({ length: parallel }, (): Variables => ({}));
    const onGpus = configs.filter(({ device }) => device !== "cpu");
    if (parallel === 1 || onGpus.length === 0) return new DeviceShares(all);
    const device = onGpus.some((config) => config.device === "gpu") ? "gpu" : "auto";
    using stack = new DisposableStack();
    const { devices } = stack.use(
      await claimDevices({ device }, { run: "comparison", lends: true }, machine),
    );
    const uuids = devices.flatMap((each) => each.kind === "gpu" ? [each.uuid] : []);
    if (uuids.length === 0) return new DeviceShares(all);
    const names = onGpus.find((config) => config.devices)?.devices;
    if (names) {
      throw new UsageError(
        `devices is ${
          names.join(",")
        }, but ${parallel} runs are to go on at the same time, each on GPUs of its own: leave ` +
          `devices unset, or set ${VISIBLE_DEVICES} to the GPUs that they divide`,
      );
    }
    const size = Math.floor(uuids.length / parallel);
    if (size === 0) {
      throw new UsageError(
        `${parallel} runs are to go on at the same time, each on GPUs of its own, but ${
          counted(uuids.length, "GPU")
        } can be used: let ${uuids.length} go on at the same time, or set device to cpu`,
      );
    }
    const shares = all.map((_, slot) => ({
      [VISIBLE_DEVICES]: uuids.slice(slot * size, (slot + 1) * size).join(","),
    }));
    return new DeviceShares(shares, stack.move());
  }

  [Symbol.dispose](): void {
    this.#held?.[Symbol.dispose]();
  }

  /** Lends a share while an action goes on; as many go on at the same time as there are shares. */
  async lend<Result>(use: (variables: Variables) => Promise<Result>): Promise<Result> {
    const share = this.#free.shift();
    if (!share) throw new TypeError("More runs go on than there are shares");
    try {
      return await use(share);
    } finally {
      this.#free.unshift(share);
    }
  }
}

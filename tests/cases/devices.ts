/**
 * Cases of devices: names of GPUs that can't be had, and machines whose GPUs can't be used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setInvocation } from "../../src/base/invocation.ts";
import { UsageError } from "../../src/base/errors.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { LoadedConfig } from "../../src/config/schema.ts";
import { decideDevices } from "../../src/coordinator/preparation/decide_devices.ts";
import { parseFlags } from "../../src/commands/flags.ts";
import { keyFlags, keySettings, RUN_KEY_FLAGS } from "../../src/commands/key_flags.ts";
import type { Gpu } from "../../src/gpus/gpu.ts";
import type { Surroundings } from "../../src/gpus/find_devices.ts";
import { migGpu, someGpu, someGpus } from "../gpus/some_gpus.ts";
import type { Case } from "./case.ts";

const RECIPE = `
workers: 2
model: { name: plain_cnn, weights: none }
data: { root: /photos, train: [{ Resize: [16, 16] }], val: [{ Resize: [16, 16] }] }
train: { epochs: 1, batchSize: 8, lr: 0.1 }
`;

const COMMAND = {
  name: "train",
  summary: "",
  flags: keyFlags(RUN_KEY_FLAGS),
  examples: [],
} as const;

/** The config of a command line, over a recipe of two workers. */
async function configOf(args: readonly string[]): Promise<LoadedConfig> {
  const flags = parseFlags(COMMAND, [...args]);
  const { overrides } = await keySettings(flags, RUN_KEY_FLAGS);
  return parseConfig(RECIPE, "/recipe.yaml", overrides);
}

/** A machine with some GPUs, changed. */
function machine(gpus: readonly Gpu[], changes: Partial<Surroundings> = {}): Surroundings {
  return {
    ...{ os: "linux", arch: "x86_64", mask: undefined, hasOwnLibrary: false, ownPids: [] },
    hasDriver: () => true,
    whyClosed: () => undefined,
    listGpus: () => Promise.resolve({ gpus, hasProgram: true }),
    numaNodeOf: () => Promise.resolve(undefined),
    ...changes,
  };
}

/** A command line on a machine with four GPUs unless another one is given. */
function refused(
  args: string,
  says: RegExp,
  { gpus = someGpus(4), on = "four GPUs", ...changes }:
    & Partial<Surroundings>
    & { gpus?: readonly Gpu[]; on?: string } = {},
): Case {
  return {
    name: `train ${args} on ${on}`,
    must: `refused: ${says.source}`,
    async run() {
      const given = args === "" ? [] : args.split(" ");
      setInvocation({
        command: "train",
        args: given,
        flags: { devices: "devices", workers: "workers", device: "device" },
      });
      try {
        await assert.rejects(
          async () => await decideDevices(await configOf(given), machine(gpus, changes)),
          (error) => {
            assert.ok(error instanceof UsageError, String(error));
            assert.match(error.message, says);
            return true;
          },
        );
      } finally {
        setInvocation(undefined);
      }
    },
  };
}

/** The indices of the GPUs that a command line gets. */
function chosen(
  args: string,
  expected: readonly number[],
  { gpus = someGpus(4), mask, on = "four GPUs" }: {
    gpus?: readonly Gpu[];
    mask?: string;
    on?: string;
  } = {},
): Case {
  return {
    name: `train ${args} on ${on}`,
    must: `computes on ${expected.join(", ")}`,
    async run() {
      const { config, devices } = await decideDevices(
        await configOf(args.split(" ")),
        machine(gpus, { mask }),
      );
      assert.deepEqual(
        devices.map((device) => device.kind === "gpu" ? device.index : device.kind),
        expected,
      );
      assert.equal(config.workers, expected.length);
    },
  };
}

const closed = (name: string) => (library: string) =>
  library === name ? `${name}: cannot open shared object file` : undefined;

/** The cases. */
export const CASES: Case[] = [
  chosen("--devices 0", [0]),
  chosen("--devices 3,1,0", [3, 1, 0]),
  chosen("--devices 3,1,0 --workers 2", [3, 1]),
  chosen("--workers 2", [0, 1]),
  chosen("--devices=1", [3], { mask: "2,3", on: "CUDA_VISIBLE_DEVICES=2,3" }),
  chosen("--workers 2 --device gpu", [1, 2], {
    gpus: [someGpu(0, { processes: [{ pid: 7 }] }), someGpu(1), someGpu(2)],
    on: "three GPUs, the first in use",
  }),
  refused(
    "--devices 7",
    /--devices names device 7, but there are 4 GPUs: give indices from 0 to 3/,
  ),
  refused("--devices GPU-dead", /--devices names GPU-dead, which no device .* GPU-00000000-aaaa/),
  refused("--devices 0,0", /names GPU 0, .* twice/),
  refused("--devices 0,first", /--devices is 0,first: give indices such as 0,2/),
  refused("--devices=", /--devices/),
  refused("--devices 0 --device cpu", /device is cpu, but devices is 0/),
  refused("--devices 0,1 --workers 3", /--devices names 2 devices \(0,1\): .* --workers to 2/),
  refused("--workers 5", /--workers is 5, and each .* there are 4 GPUs: set --workers to 4/),
  refused("--device gpu", /--workers is 2, .* there is 1 GPU: set --workers to 1/, {
    ...{ gpus: [someGpu(0)], on: "one GPU" },
  }),
  refused("--workers 3", /CUDA_VISIBLE_DEVICES=0,1 shows 2 of the 4 GPUs/, {
    ...{ mask: "0,1", on: "CUDA_VISIBLE_DEVICES=0,1" },
  }),
  refused("", /CUDA_VISIBLE_DEVICES is "-1", which hides all 4 GPUs/, {
    ...{ mask: "-1", on: "CUDA_VISIBLE_DEVICES=-1" },
  }),
  refused("--devices 0", /GPU 0, .* MIG mode and computes through its instances/, {
    ...{ gpus: [migGpu(0, 2)], on: "a GPU in MIG mode" },
  }),
  refused("", /MIG mode without instances/, {
    ...{ gpus: [migGpu(0, 0)], on: "a GPU in MIG mode without instances" },
  }),
  refused("", /libcuda.so.1: cannot open .* capability compute/, {
    ...{ whyClosed: closed("libcuda.so.1"), on: "a driver without libcuda" },
  }),
  refused("", /libnvidia-ml.so.1 can't be opened .* utility/, {
    ...{ whyClosed: closed("libnvidia-ml.so.1"), on: "a driver without NVML" },
  }),
  refused("", /wheels for linux on aarch64/, { arch: "aarch64", on: "aarch64 with a driver" }),
  refused("", /The driver 470.1 is too old/, {
    ...{ gpus: [someGpu(0, { driverVersion: "470.1" })], on: "an old driver" },
  }),
  refused("--device gpu", /no NVIDIA driver on this machine .* --device to cpu/, {
    hasDriver: () => false,
    whyClosed: () => "not found",
    on: "no driver",
  }),
];

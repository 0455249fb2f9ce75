/**
 * A fake `nvidia-smi`: a shell script that prints what the real one would of some GPUs.
 *
 * @module
 */
import { join } from "node:path";
import type { Gpu } from "../../src/gpus/gpu.ts";

/** The way of a fake to fail. */
export type Fault = "hangs" | "floods" | "ignores SIGTERM" | "no driver" | "garbage";

const FAULTS: Readonly<Record<Fault, string>> = {
  "hangs": "sleep 300",
  "floods": "while :; do echo 'garbage, garbage, garbage'; done",
  "ignores SIGTERM": "trap '' TERM HUP INT; sleep 300",
  "no driver":
    'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
  "garbage": "echo 'Unable to determine the device handle for GPU0: Unknown Error'",
};

/**
 * Writes the script.
 *
 * @returns Its path; the folder that holds it may stand first in `PATH`
 */
export async function writeFakeNvidiaSmi(
  folder: string,
  gpus: readonly Gpu[],
  { fault, topology = "" }: { fault?: Fault; topology?: string } = {},
): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, "nvidia-smi");
  const body = fault ? FAULTS[fault] : script(gpus, topology);
  await Deno.writeTextFile(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return path;
}

function script(gpus: readonly Gpu[], topology: string): string {
  return `case "$1" in
--query-gpu=*)
  for gpu in ${gpus.map((_, at) => at).join(" ")}; do
    line=
    for field in $(echo "\${1#--query-gpu=}" | tr ',' ' '); do
      case "$gpu.$field" in
${gpus.flatMap(arms).join("\n")}
      *) value='[N/A]';;
      esac
      line="$line\${line:+, }$value"
    done
    echo "$line"
  done;;
-L) cat <<'END'
${gpus.flatMap(listing).join("\n")}
END
;;
--query-compute-apps=*) cat <<'END'
${gpus.flatMap(processes).join("\n")}
END
;;
topo) cat <<'END'
${topology}
END
;;
esac`;
}

function arms(gpu: Gpu, at: number): string[] {
  const values: Record<string, string | undefined> = {
    "index": String(gpu.index),
    "uuid": gpu.uuid,
    "name": gpu.name,
    "pci.bus_id": gpu.pciBusId,
    "driver_version": gpu.driverVersion,
    "compute_cap": gpu.computeCapability?.toFixed(1),
    "memory.total": mebibytes(gpu.memoryTotalBytes),
    "memory.used": mebibytes(gpu.memoryUsedBytes),
    "mig.mode.current": gpu.isMig ? "Enabled" : "Disabled",
    "compute_mode": gpu.computeMode,
    "utilization.gpu": "0",
    "temperature.gpu": "31",
  };
  return Object.entries(values).flatMap(([field, value]) =>
    value === undefined ? [] : [`      ${at}.${field}) value='${value}';;`]
  );
}

function mebibytes(bytes: number | undefined): string | undefined {
  return bytes === undefined ? undefined : String(Math.round(bytes / 2 ** 20));
}

function listing({ index, name, uuid, migInstances }: Gpu): string[] {
  return [
    `GPU ${index}: ${name} (UUID: ${uuid})`,
    ...migInstances.map((mig, at) => `  MIG ${mig.profile}     Device  ${at}: (UUID: ${mig.uuid})`),
  ];
}

function processes({ uuid, processes }: Gpu): string[] {
  return processes.map(({ pid, memoryBytes }) =>
    `${uuid}, ${pid}, ${mebibytes(memoryBytes) ?? "[N/A]"}`
  );
}

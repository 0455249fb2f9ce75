/**
 * A machine that seems to have an NVIDIA driver: stand-ins for the driver's libraries that can be opened and do nothing,
 * and a fake `nvidia-smi`. TensorFlow finds no GPU there.
 *
 * @module
 */
import { join } from "node:path";
import { libtensorflowPath } from "../../src/base/libtensorflow_path.ts";
import { readNative } from "../../src/engine/binding/native_environment.ts";
import type { Gpu } from "../../src/gpus/gpu.ts";
import { writeFakeNvidiaSmi } from "./fake_nvidia_smi.ts";

/**
 * Makes the programs and libraries.
 *
 * @param folder Gets them
 * @returns The environment of a process on that machine
 */
export async function writeFakeDriver(
  folder: string,
  gpus: readonly Gpu[],
): Promise<Record<string, string>> {
  await writeFakeNvidiaSmi(folder, gpus);
  for (const name of ["libcuda.so.1", "libnvidia-ml.so.1"]) {
    await Deno.symlink(anyLibrary(), join(folder, name));
  }
  const before = Deno.env.get("LD_LIBRARY_PATH");
  return {
    PATH: `${folder}:${Deno.env.get("PATH")}`,
    LD_LIBRARY_PATH: before ? `${folder}:${before}` : folder,
    LOCKSTEP_RUNTIME: join(folder, "runtime"), // other machines have GPUs of the same names
    LOCKSTEP_LIBTENSORFLOW: libtensorflowPath("cpu"), // no CUDA build is fetched
  };
}

/** A library that this process has open, whatever it is. */
function anyLibrary(): string {
  const path = /\/\S+\/libc\.so\.6$/m.exec(readNative("/proc/self/maps") ?? "")?.[0];
  if (path === undefined) throw new Error("This system has no libc.so.6");
  return path;
}

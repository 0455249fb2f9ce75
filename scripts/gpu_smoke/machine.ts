/**
 * The machine and the programs of a smoke test, for its result. Host names, users and addresses are left out.
 *
 * @module
 */
import { cpus } from "node:os";
import { formatBytes } from "../../src/base/format.ts";
import { LIBTENSORFLOW_VERSION, LOCKSTEP_VERSION } from "../../src/base/versions.ts";
import type { CheckContext } from "./check.ts";

/** Variables whose values bear on the results. */
const VARIABLES =
  /^(CUDA_|NVIDIA_|NCCL_|TF_|XLA_|LOCKSTEP_(?!DENO)|LD_LIBRARY_PATH$|SLURM_JOB_GPUS$)/;

/** Describes the machine. */
export function describeMachine(
  { device, gpus, libraryPath, size }: CheckContext,
): { facts: Record<string, unknown>; lines: string[] } {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? "unknown CPU";
  const { total } = Deno.systemMemoryInfo();
  const variables = Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => VARIABLES.test(name)).sort(),
  );
  const facts = {
    lockstep: LOCKSTEP_VERSION,
    deno: Deno.version.deno,
    tensorflow: LIBTENSORFLOW_VERSION,
    libraryPath,
    os: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    cpu: model,
    cpus: processors.length,
    memoryBytes: total,
    gpus,
    device,
    size,
    variables,
  };
  return {
    facts,
    lines: [
      `Lockstep ${LOCKSTEP_VERSION}, Deno ${Deno.version.deno}, TensorFlow ${LIBTENSORFLOW_VERSION}`,
      `${facts.os}, ${processors.length} × ${model}, ${formatBytes(total)}`,
      ...gpus.map(({ index, name }) => `GPU ${index}: ${name}`),
    ],
  };
}

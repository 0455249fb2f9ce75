/**
 * Compares the GPUs that CUDA shows with those that the driver lists, and opens TensorFlow on the first.
 *
 * @module
 */
import { counted } from "../../../src/base/format.ts";
import { type Gpu, listGpus } from "../../../src/gpus/gpu.ts";
import { describeGpu } from "../../../src/gpus/gpu_lines.ts";
import { runNvidiaSmi } from "../../../src/gpus/nvidia_smi.ts";
import { numaNodeOf } from "../../../src/gpus/numa.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { openSmokeEngine } from "../engine.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "devices",
  title: "that CUDA shows the GPUs that the driver lists",
  limitSeconds: 40,
  cards: "all",
  needsGpu: true,
  run,
};

async function run(context: CheckContext): Promise<Outcome> {
  const { gpus } = await listGpus();
  const lines = await Promise.all(
    gpus.map(async (gpu) => describeGpu(gpu, await numaNodeOf(gpu.pciBusId))),
  );
  const topology = gpus.length > 1 ? await runNvidiaSmi(["topo", "-m"]) : undefined;
  const found = cudaDeviceCount();
  const { devices, tensorflowVersion } = await openSmokeEngine(context);
  const details = {
    gpus: lines.map(({ line }) => line),
    problems: lines.flatMap(({ problem }) => problem ?? []),
    topology: topology?.kind === "text" ? topology.text.split("\n") : [],
    tensorflow: tensorflowVersion,
    devices: devices.map(({ name }) => name), // the engine opens one GPU per process
    cudaDevices: found,
  };
  const wanted = context.gpus.length;
  if (found !== wanted) {
    const figure = `CUDA shows ${counted(found, "GPU")} of ${wanted} that are visible`;
    return { status: "fail", figure, details };
  }
  const [problem] = details.problems;
  if (problem !== undefined) return { status: "fail", figure: problem, details };
  return {
    status: "pass",
    figure: `${counted(wanted, "GPU")}: ${modelsOf(gpus, context)}`,
    details,
  };
}

/** Returns names, compute capabilities and the driver, each once. */
function modelsOf(gpus: readonly Gpu[], { gpus: visible }: CheckContext): string {
  const shown = gpus.filter(({ index }) => visible.some((gpu) => gpu.index === index));
  const models = shown.map(({ name, computeCapability }) =>
    `${name} (compute capability ${computeCapability?.toFixed(1) ?? "unknown"})`
  );
  return [...new Set(models), `driver ${shown[0]?.driverVersion}`].join(", ");
}

/** Returns the number of GPUs that CUDA shows to this process. */
function cudaDeviceCount(): number {
  const { symbols } = Deno.dlopen("libcuda.so.1", {
    cuInit: { parameters: ["u32" /* flags */], result: "i32" },
    cuDeviceGetCount: { parameters: ["buffer" /* count */], result: "i32" },
  });
  const count = new Int32Array(1);
  const error = symbols.cuInit(0) || symbols.cuDeviceGetCount(count);
  if (error !== 0) throw new Error(`The driver gives CUDA error ${error}`);
  return count[0];
}

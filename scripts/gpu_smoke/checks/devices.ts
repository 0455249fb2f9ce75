/**
 * Compares the GPUs that TensorFlow finds with those that the driver lists.
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
  title: "that TensorFlow finds the GPUs that the driver lists",
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
  const { devices, tensorflowVersion } = await openSmokeEngine(context);
  const found = devices.filter(({ type }) => type === "GPU").map(({ name }) => name);
  const details = {
    gpus: lines.map(({ line }) => line),
    problems: lines.flatMap(({ problem }) => problem ?? []),
    topology: topology?.kind === "text" ? topology.text.split("\n") : [],
    tensorflow: tensorflowVersion,
    devices: devices.map(({ name }) => name),
  };
  const wanted = context.gpus.length;
  if (found.length !== wanted) {
    const counts = `TensorFlow finds ${counted(found.length, "GPU")} of ${wanted} that are visible`;
    return { status: "fail", figure: counts, details };
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

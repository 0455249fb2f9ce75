/**
 * The first compilation: where a GPU runs TensorFlow's kernels only after the driver has compiled them, one process
 * compiles them before the ranks start. All ranks at once would each compile the same for half an hour and longer.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type ComputeDevice, type ComputeGpu, deviceName } from "../../base/compute_device.ts";
import { orAborted } from "../../base/async.ts";
import { LockstepError } from "../../base/errors.ts";
import { given } from "../../base/given.ts";
import { formatDuration } from "../../base/format.ts";
import { type OwnProgram, programCommand } from "../../base/programs.ts";
import { endAtStop } from "../../base/signals.ts";
import { LIBTENSORFLOW_VERSION } from "../../base/versions.ts";
import { withLastLines } from "../../cluster/lost_worker.ts";
import { kernelCacheFolder } from "../../engine/binding/kernel_cache.ts";
import { coresOfHost } from "../../engine/threads.ts";
import type { Reporter } from "../../events/reporter.ts";
import { compilationFor } from "../../gpus/driver.ts";
import { VISIBLE_DEVICES } from "../../gpus/visible_devices.ts";
import type { Json } from "../../protocol/large_json.ts";
import { ensureCached } from "../../provision/cached.ts";
import { progressUntil } from "../../provision/progress.ts";
import type { EvaluationJob } from "../../train/evaluation_job.ts";
import type { Job } from "../../train/job.ts";
import type { WarmUpSettings } from "../../worker/warm_up.ts";

/** The parts of a run that its kernels depend on. */
export interface CompilationNeeds {
  /** One per worker. */
  readonly devices: readonly ComputeDevice[];
  readonly libraryPath: string;
  readonly job: Job | EvaluationJob;
  /** Images per step over all ranks; without training, of an evaluation alone. */
  readonly batches: { readonly train?: number; readonly val: number };
}

/** Options of {@linkcode compileKernels}. */
export interface CompilationOptions {
  readonly reporter: Pick<Reporter, "info" | "download">;
  /** Ends the compilation at once. */
  readonly signal?: AbortSignal | undefined;
  /** The program that computes on the GPU (default `workers/warm_up.ts`). */
  readonly entry?: string | URL;
  /** Milliseconds between two lines about the time so far (default 15,000). */
  readonly progressMs?: number;
}

const PROGRESS_MS = 15_000;
const LINES_KEPT = 20;

/**
 * Has each kind of GPU's kernels compiled that the run needs and that its driver must compile, unless that was done
 * on this machine before: with the same build, driver, kind of GPU, network and sizes. Nothing else of the run exists
 * yet, so that no time limit of it passes meanwhile.
 *
 * @throws {LockstepError} when the process fails, with its last lines
 * @throws the signal's reason when it fires
 */
export async function compileKernels(
  needs: CompilationNeeds,
  options: CompilationOptions,
): Promise<void> {
  const folder = kernelCacheFolder(needs.libraryPath);
  for (const gpu of gpusToCompileFor(needs.devices)) {
    const name = deviceName(gpu);
    await ensureCached({
      what: `Compiled kernels for ${name}`,
      path: join(folder, `compiled-${keyOf(gpu, needs)}.json`),
      make: async (target) => {
        const seconds = await compile(gpu, needs, options);
        const { driverVersion } = gpu;
        await Deno.writeTextFile(
          target,
          JSON.stringify({ gpu: name, driverVersion, seconds }) + "\n",
        );
      },
    }, progressUntil(options.signal, (event) => options.reporter.download(event)));
  }
}

/** Returns one GPU of each kind whose kernels the driver compiles. */
export function gpusToCompileFor(devices: readonly ComputeDevice[]): ComputeGpu[] {
  const kinds = new Map<string, ComputeGpu>();
  for (const device of devices) {
    if (device.kind !== "gpu" || compilationFor(device) === "none") continue;
    const { driverVersion, computeCapability } = device;
    const kind = JSON.stringify([deviceName(device), driverVersion, computeCapability]);
    if (!kinds.has(kind)) kinds.set(kind, device);
  }
  return [...kinds.values()];
}

/** Returns a name for all that the kernels depend on. */
function keyOf(gpu: ComputeGpu, { libraryPath, job, batches, devices }: CompilationNeeds): string {
  const { model, data, engine } = job.config;
  const parts = [
    LIBTENSORFLOW_VERSION,
    libraryPath,
    deviceName(gpu),
    gpu.computeCapability,
    gpu.driverVersion,
    model,
    job.numClasses,
    [data.train, data.val],
    [engine.precision, engine.deterministic, engine.xla],
    lossOf(job),
    rowsOf(batches, devices.length),
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

/** Returns the part of a job that the last ops of its functions depend on. */
function lossOf(job: Job | EvaluationJob): unknown {
  if ("evaluation" in job) return job.loss;
  const { loss, lossModule, labelSmoothing, accumulationSteps, microBatchSize } = job.config.train;
  return [loss, lossModule, labelSmoothing, accumulationSteps, microBatchSize];
}

/** Returns the images of a rank's steps. */
function rowsOf(
  { train, val }: CompilationNeeds["batches"],
  ranks: number,
): WarmUpSettings["rows"] {
  const share = (batch: number) => Math.ceil(batch / ranks);
  return { ...given("train", train === undefined ? undefined : share(train)), val: share(val) };
}

/** Runs the process; returns its seconds. */
async function compile(
  gpu: ComputeGpu,
  needs: CompilationNeeds,
  options: CompilationOptions,
): Promise<number> {
  const { reporter, signal, progressMs = PROGRESS_MS } = options;
  signal?.throwIfAborted();
  const what = compilationFor(gpu) === "all"
    ? "TensorFlow's kernels"
    : "a part of TensorFlow's kernels";
  const name = deviceName(gpu);
  reporter.info(
    `Compiling ${what} for ${name}: the first time on this machine with this driver and network, which may take 30 minutes`,
  );
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const timer = setInterval(
    () => reporter.info(`Compiling kernels for ${name}: ${formatDuration(seconds())} so far`),
    progressMs,
  );
  try {
    await runProgram(gpu, needs, options);
    reporter.info(`Compiled the kernels for ${name} in ${formatDuration(seconds())}`);
    return Math.round(seconds());
  } finally {
    clearInterval(timer);
  }
}

async function runProgram(
  gpu: ComputeGpu,
  needs: CompilationNeeds,
  { signal, entry = "workers/warm_up.ts" }: CompilationOptions,
): Promise<void> {
  const program: OwnProgram = { entry, permissions: "worker" };
  const process = programCommand(program, {
    env: { [VISIBLE_DEVICES]: gpu.uuid },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  using _atStop = endAtStop(process);
  const ended = Promise.all([process.status, new Response(process.stderr).text()]);
  try {
    const writer = process.stdin.getWriter();
    const settings = new TextEncoder().encode(JSON.stringify(settingsOf(gpu, needs)));
    // One that ends early is noticed by its exit.
    await writer.write(settings).then(() => writer.close()).catch(() => {});
    const [{ success, code, signal: by }, text] = await orAborted(ended, signal);
    if (success) return;
    const lines = text.split("\n").slice(-LINES_KEPT);
    const how = by ? `was ended by ${by}` : `ended with code ${code}`;
    throw new LockstepError(
      withLastLines(`The process that compiles the kernels for ${deviceName(gpu)} ${how}`, lines),
    );
  } finally {
    kill(process);
    await ended.catch(() => {});
  }
}

/** Kills a process, without effect when it has ended. */
function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // TypeError: it has ended
  }
}

function settingsOf(
  gpu: ComputeGpu,
  { devices, libraryPath, job, batches }: CompilationNeeds,
): WarmUpSettings {
  return {
    device: gpu,
    libraryPath,
    // The ranks wait: all cores compile.
    threads: coresOfHost(),
    rows: rowsOf(batches, devices.length),
    job: job as unknown as Json,
  };
}

/**
 * The process of a check.
 *
 * @module
 */
import { LIBTENSORFLOW_VARIABLE } from "../../src/base/libtensorflow_path.ts";
import { VISIBLE_DEVICES } from "../../src/gpus/visible_devices.ts";
import { fromFileUrl } from "../files.ts";
import type { CheckContext, SmokeCheck } from "./check.ts";

/** The work of a process: the check, or its reference on the CPU. */
export type ProcessMode = "check" | "reference";

/** Permissions of a check's process; it reaches no other machine. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-net=127.0.0.1,localhost",
  "--allow-run",
  "--allow-ffi",
  "--allow-sys",
  "--allow-env",
];

/** Computes products of float32 with all bits in cuBLAS and cuDNN, not in TensorFloat-32. */
const EXACT = { NVIDIA_TF32_OVERRIDE: "0" };

/** Takes Eigen's kernels in the place of oneDNN's. */
const EIGEN = { TF_ENABLE_ONEDNN_OPTS: "0" };

/** Hides all GPUs. */
const NO_GPU = "-1";

/** The program of a check's process. */
const PROGRAM = new URL("run_check.ts", import.meta.url);

/** Settings of a check's process. */
export interface ProcessOptions extends Omit<Deno.CommandOptions, "args" | "env"> {
  /** File for all that the process writes. */
  readonly log?: string;
  /** Another program than `run_check.ts`. */
  readonly program?: URL;
}

/** Returns the command that makes a check, or computes its reference. */
export function checkProcess(
  check: SmokeCheck,
  context: CheckContext,
  mode: ProcessMode,
  { log, program = PROGRAM, ...options }: ProcessOptions,
): Deno.Command {
  const own = mode === "reference" ? { ...context, device: "cpu" } : context;
  const args = [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-check",
    ...PERMISSIONS,
    fromFileUrl(program),
    mode,
    check.name,
    JSON.stringify(own),
  ];
  const env = environment(check, context, mode);
  if (log === undefined) return new Deno.Command(Deno.execPath(), { ...options, args, env });
  // The shell gives its place up to Deno: what a crashed or killed process has written is in the log.
  const script = 'log=$1; shift; exec "$@" >"$log" 2>&1';
  return new Deno.Command("sh", {
    ...options,
    args: ["-c", script, "sh", log, Deno.execPath(), ...args],
    env,
  });
}

function environment(
  { cards, isExact }: SmokeCheck,
  { device, gpus, libraryPath }: CheckContext,
  mode: ProcessMode,
): Record<string, string> {
  const shown = cards === "none" || mode === "reference" || device === "cpu"
    ? NO_GPU
    : gpus.slice(0, cards === "first" ? 1 : gpus.length).map(({ uuid }) => uuid).join(",");
  return {
    [VISIBLE_DEVICES]: shown,
    [LIBTENSORFLOW_VARIABLE]: libraryPath, // nothing else is opened, or fetched
    ...(isExact ? EXACT : {}),
    ...(mode === "reference" && device === "cpu" ? EIGEN : {}),
  };
}

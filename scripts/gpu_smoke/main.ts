/**
 * The GPU smoke test: finds the GPUs, fetches TensorFlow's CUDA build if it is missing, runs the checks, and writes
 * their results.
 *
 * Usage: scripts/gpu_smoke.sh [OPTIONS]; `--help` lists them.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import {
  EXIT_FAILED,
  EXIT_USAGE,
  exitCodeOf,
  messageOf,
  nearestName,
  UsageError,
} from "../../src/base/errors.ts";
import { presentBuild } from "../../src/base/libtensorflow_path.ts";
import { cacheFolder, exists } from "../../src/base/paths.ts";
import { exitCleanly, stopRequested, takeStopRequests } from "../../src/base/signals.ts";
import { buildFor, hasDriver } from "../../src/gpus/driver.ts";
import { type GpuListing, listGpus } from "../../src/gpus/gpu.ts";
import { VISIBLE_DEVICES, visibleDevices } from "../../src/gpus/visible_devices.ts";
import { ensureLibtensorflow } from "../../src/provision/libtensorflow.ts";
import type { CheckContext, SmokeCheck, SmokeDevice, SmokeGpu } from "./check.ts";
import { CHECKS } from "./checks.ts";
import { describeMachine } from "./machine.ts";
import { resultLine, resultTable, verdict } from "./results.ts";
import { runChecks } from "./run_checks.ts";

const HELP =
  `Checks Lockstep on this machine's GPUs, one line per check, and writes a result to send.

Usage: scripts/gpu_smoke.sh [OPTIONS]

  --device gpu|cpu    cpu: a dry run, which compares the CPU with the CPU (default: gpu)
  --only NAME,NAME    run these checks only
  --out DIR           folder of the results (default: gpu-smoke-DATE)
  --short             smallest networks and images: shows that the checks work, not the device
  --python PATH       a Python that has PyTorch and torchvision (default: python3)
  --install-pytorch   let pip install PyTorch (about 3 GB) into a venv in Lockstep's cache
  --limit-factor N    multiply the time limits of the checks by N
  --help              show this text

Checks: ${CHECKS.map(({ name }) => name).join(", ")}`;

/** Time limits are for GPUs: a dry run has more. */
const DRY_RUN_FACTOR = 4;

interface Options {
  readonly device: SmokeDevice;
  readonly checks: readonly SmokeCheck[];
  readonly folder: string;
  readonly size: CheckContext["size"];
  readonly python: string | undefined;
  readonly installPytorch: boolean;
  readonly limitFactor: number;
}

const STRINGS = ["device", "only", "out", "python", "limit-factor"] as const;
const BOOLEANS = ["short", "install-pytorch", "help"] as const;

/**
 * Reads the options.
 *
 * @throws {UsageError} for an unknown option, check or value
 */
export function readOptions(args: readonly string[]): Options | "help" {
  const known = [...STRINGS, ...BOOLEANS].map((name) => `--${name}`);
  const flags = parseArgs([...args], {
    string: [...STRINGS],
    boolean: [...BOOLEANS],
    unknown: (arg: string) => {
      const name = nearestName(arg.replace(/=.*/, ""), known);
      throw new UsageError(
        `Unknown argument ${arg}: ${
          name ? `did you mean ${name}?` : `known are ${known.join(", ")}`
        }`,
      );
    },
  });
  if (flags.help) return "help";
  const text = (name: typeof STRINGS[number]) => flags[name] as string | undefined;
  const device = text("device") ?? "gpu";
  if (device !== "gpu" && device !== "cpu") {
    throw new UsageError(`--device is "${device}": give gpu or cpu`);
  }
  const factor = Number(text("limit-factor") ?? (device === "cpu" ? DRY_RUN_FACTOR : 1));
  if (!(factor > 0)) {
    throw new UsageError(`--limit-factor is "${text("limit-factor")}": give a number above 0`);
  }
  return {
    device,
    checks: text("only") === undefined ? CHECKS : checksNamed(text("only")!),
    folder: resolve(text("out") ?? `gpu-smoke-${dateText(new Date())}`),
    size: flags.short ? "short" : "full",
    python: text("python"),
    installPytorch: flags["install-pytorch"] === true,
    limitFactor: factor,
  };
}

function checksNamed(list: string): SmokeCheck[] {
  const names = list.split(",").map((name) => name.trim());
  const known = CHECKS.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`--only has "${unknown}": known are ${known.join(", ")}`);
  }
  return CHECKS.filter(({ name }) => names.includes(name));
}

function dateText(date: Date): string {
  return date.toISOString().replace(/[-:]|\..*/g, "").replace("T", "-");
}

/**
 * Returns the GPUs that CUDA shows to this process.
 *
 * @param mask Value of `CUDA_VISIBLE_DEVICES`
 * @throws {UsageError} when there is none, with the reason
 */
export function requireGpus(
  { gpus, hasProgram, problem }: GpuListing,
  driver: boolean,
  mask: string | undefined,
): SmokeGpu[] {
  const dryRun = "--device cpu makes a dry run, which compares the CPU with the CPU";
  if (problem !== undefined) {
    throw new UsageError(`The GPUs can't be listed: nvidia-smi ${problem}; ${dryRun}`);
  }
  if (!hasProgram && driver) {
    throw new UsageError(
      "There is an NVIDIA driver but no nvidia-smi: install the driver's tools, or in a container add the utility " +
        `capability to NVIDIA_DRIVER_CAPABILITIES; ${dryRun}`,
    );
  }
  if (gpus.length === 0) {
    throw new UsageError(`This machine has no NVIDIA GPU, so there is nothing to check: ${dryRun}`);
  }
  const { devices } = visibleDevices(gpus, mask);
  if (devices.length === 0) {
    throw new UsageError(
      `${VISIBLE_DEVICES}=${
        mask ?? ""
      } shows no GPU of this machine: correct or unset it; ${dryRun}`,
    );
  }
  return devices.map(({ gpu: { index, name }, uuid }) => ({ index, name, uuid }));
}

/** Runs the smoke test; returns the exit code: 0 when no check failed and some passed. */
async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options === "help") {
    console.log(HELP);
    return 0;
  }
  const { device, checks, folder, size } = options;
  const stop = new AbortController();
  using _stop = takeStopRequests(() => stop.abort());
  const listing = await listGpus();
  const gpus = device === "gpu"
    ? requireGpus(listing, hasDriver(), Deno.env.get(VISIBLE_DEVICES))
    : [];
  const named = new Set<string>();
  const libraryPath = await ensureLibtensorflow(({ what, note }) => {
    if (note === undefined && named.has(what)) return;
    named.add(what);
    console.log(`Set-up: ${what}${note === undefined ? "" : `: ${note}`}`);
  }, device === "gpu" ? buildFor(listing.gpus) : presentBuild());
  const python = options.python ?? await findPython(options.installPytorch);
  await Deno.mkdir(folder, { recursive: true });
  const context: CheckContext = { device, libraryPath, gpus, size, folder, python };
  if (device === "cpu") {
    console.log("A dry run: the CPU is compared with itself, no GPU is checked");
  }
  const begin = new Date();
  const results = await runChecks(checks, context, {
    limitFactor: options.limitFactor,
    signal: stop.signal,
    onResult: (result) => console.log(resultLine(result)),
  });
  const machine = describeMachine(context);
  const end = verdict(results, device);
  const text = [...machine.lines, "", ...resultTable(results), "", end.sentence].join("\n") + "\n";
  await Deno.writeTextFile(join(folder, "gpu_smoke.txt"), text);
  const record = {
    begin,
    seconds: (Date.now() - begin.getTime()) / 1000,
    machine: machine.facts,
    arguments: args,
    verdict: end.sentence,
    results,
  };
  await Deno.writeTextFile(
    join(folder, "gpu_smoke.json"),
    JSON.stringify(record, undefined, 2) + "\n",
  );
  console.log(
    `\n${text}\nWritten to ${folder}: gpu_smoke.txt, gpu_smoke.json, a log of each check`,
  );
  const signal = stopRequested();
  if (signal) exitCleanly(exitCodeOf(signal));
  return end.isGood ? 0 : EXIT_FAILED;
}

/** Returns the Python that PyTorch is looked for in: a venv in the cache, if there is one, else `python3`. */
async function findPython(install: boolean): Promise<string> {
  const venv = join(cacheFolder(), "pytorch-venv");
  const python = join(venv, "bin", "python");
  if (await exists(python)) return python;
  if (!install) return "python3";
  console.log(`Set-up: PyTorch in ${venv}`);
  const run = async (program: string, ...args: string[]) => {
    const { success, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
    if (success) return true;
    const reason = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    console.log(`Set-up: PyTorch can't be installed: ${reason}`);
    return false;
  };
  const isThere = await run("python3", "-m", "venv", venv) &&
    await run(python, "-m", "pip", "install", "--quiet", "torch", "torchvision");
  if (isThere) return python;
  await Deno.remove(venv, { recursive: true }).catch(() => {});
  return "python3";
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    Deno.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED);
  }
}

/**
 * The environment of a run, as `environment.json`: the facts that are needed to repeat it.
 *
 * @module
 */
import type { OpenedDevice } from "../base/compute_device.ts";
import { readRegularText } from "../base/regular_file.ts";
import { cpus } from "node:os";
import { join } from "node:path";
import { maskArguments } from "../base/secrets.ts";
import { LIBTENSORFLOW_VERSION, LOCKSTEP_VERSION } from "../base/versions.ts";
import { writeFileAtomically } from "../base/paths.ts";
import type { ServerFacts } from "../protocol/check_server.ts";
import { gitCommit } from "./git_commit.ts";

/** Name of the file in a run folder. */
export const ENVIRONMENT_FILE = "environment.json";

/** The facts that only the caller knows. */
export interface EnvironmentOptions {
  workers: number;
  threadsPerWorker: number;
  /** One name per worker or device, such as `CPU:0`. */
  devices: string[];
  /** TensorFlow's version as the opened library tells it. */
  tensorflow?: string;
  /** The arguments of the program; this process's own unless given. */
  commandLine?: string[];
}

/** The content of `environment.json`. */
export interface Environment {
  time: string;
  lockstep: { version: string; commit?: string };
  deno: string;
  v8: string;
  typescript: string;
  tensorflow: string;
  /** The server that the run talks through, once the workers have joined; its version or URL in older files. */
  natsServer?: ServerFacts | string;
  os: { name: string; release: string; architecture: string };
  cpu: { model: string; cores: number };
  /** Bytes. */
  memory: { total: number; available: number };
  workers: number;
  threadsPerWorker: number;
  /** Names of the workers' GPUs, one per worker; on the CPU, TensorFlow's own devices. */
  devices: string[];
  /** The devices that the workers have opened, once they have. */
  workerDevices?: readonly OpenedDevice[];
  commandLine: string[];
}

/** Gathers what describes this machine and this program; passwords in URLs are left out. */
export async function describeEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const processors = cpus();
  const memory = Deno.systemMemoryInfo();
  const commit = import.meta.dirname ? await gitCommit(import.meta.dirname) : undefined;
  return {
    time: new Date().toISOString(),
    lockstep: { version: LOCKSTEP_VERSION, ...(commit && { commit }) },
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    typescript: Deno.version.typescript,
    tensorflow: options.tensorflow ?? LIBTENSORFLOW_VERSION,
    os: { name: Deno.build.os, release: Deno.osRelease(), architecture: Deno.build.arch },
    cpu: { model: processors[0]?.model.trim() ?? "unknown", cores: processors.length },
    memory: { total: memory.total, available: memory.available },
    workers: options.workers,
    threadsPerWorker: options.threadsPerWorker,
    devices: options.devices,
    commandLine: maskArguments(options.commandLine ?? Deno.args),
  };
}

/** Adds the server that the run talks through to `environment.json`, or replaces that of the session before. */
export async function recordServer(folder: string, server: ServerFacts): Promise<void> {
  await amend(folder, { natsServer: server });
}

/** Adds the devices that the workers have opened, or replaces those of the session before. */
export async function recordDevices(
  folder: string,
  devices: readonly OpenedDevice[],
): Promise<void> {
  const gpus = devices.filter(({ kind }) => kind === "gpu").map(({ name }) => name);
  await amend(folder, { ...(gpus.length > 0 ? { devices: gpus } : {}), workerDevices: devices });
}

async function amend(folder: string, changes: Partial<Environment>): Promise<void> {
  const path = join(folder, ENVIRONMENT_FILE);
  const environment = JSON.parse(await readRegularText(path)) as Environment;
  await writeEnvironment(folder, { ...environment, ...changes });
}

/** Writes `environment.json` into a run folder. */
export async function writeEnvironment(folder: string, environment: Environment): Promise<void> {
  const text = JSON.stringify(environment, undefined, 2) + "\n";
  await writeFileAtomically(join(folder, ENVIRONMENT_FILE), text);
}

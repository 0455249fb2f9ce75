/**
 * Whole runs on small made images: in this process, or as a user starts them.
 *
 * @module
 */
import "./end_with_runner.ts";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import type { ConfigInput } from "../../src/config/schema.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { transformsFor } from "./images.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const SIDE = 20;

/** The config of a run of plain_cnn on what `makeImages` makes; `train` is merged over its defaults. */
export function tinyConfig(
  root: string,
  changes: Omit<Partial<ConfigInput>, "train"> & { train?: Partial<ConfigInput["train"]> } = {},
): ConfigInput & { workers: number } {
  const transforms = transformsFor(SIDE);
  return {
    name: "tiny",
    out: join(root, "..", "runs"),
    model: { name: "plain_cnn", weights: "none" },
    data: { root, train: ["RandomHorizontalFlip", ...transforms], val: transforms },
    ...changes,
    workers: changes.workers ?? 1,
    train: { epochs: 2, batchSize: 8, lr: 0.02, ...changes.train },
  };
}

/** The state in `checkpoints/last`. */
export interface LastState {
  /** Parameters and buffers, one after the other. */
  readonly model: Float32Array;
  /** SHA-256 of the files of tensors: equal where the bits are. */
  readonly sha256: Record<string, string>;
  readonly epoch: number;
  readonly step: number;
}

/** Reads `checkpoints/last` of a run. */
export async function lastState(folder: string): Promise<LastState> {
  const { model, info } = await readCheckpoint(join(folder, "checkpoints", "last"));
  const bytes = new Uint8Array(
    await new Blob([...model.values()].map(({ data }) => data.slice())).arrayBuffer(),
  );
  const { sha256, epoch, step } = info;
  return { model: new Float32Array(bytes.buffer), sha256, epoch, step };
}

/** ‖a − b‖ / ‖b‖. */
export function relativeDifference(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let norm = 0;
  for (let index = 0; index < b.length; index++) {
    const value = b[index];
    difference += (a[index] - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** The result of a command. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running `train` command. */
export interface TrainProcess extends AsyncDisposable {
  readonly pid: number;
  readonly result: Promise<CommandResult>;
  /** Resolves when a line of the output matches; rejects when the process ends before. */
  seen(pattern: RegExp): Promise<void>;
  kill(signal: Deno.Signal): void;
  /** Returns the command's output so far. */
  output(): string;
  /** Writes to its standard input, where that is a pipe. */
  send(text: string): Promise<void>;
  /** Ends its standard input, where that is a pipe. */
  closeInput(): Promise<void>;
}

/** Writes a config and starts `train` with it, as a user would. */
export async function startTrain(
  folder: string,
  config: ConfigInput,
  args: readonly string[] = [],
  env?: Record<string, string>,
): Promise<TrainProcess> {
  const path = join(folder, "config.yaml");
  await Deno.writeTextFile(path, stringify(config));
  return startCommand(["train", "--config", path, ...args], folder, env);
}

/** Options for the start of a command, beside its arguments. */
export interface CommandOptions {
  /** A module that runs before the program. */
  readonly preload?: string;
  /** Give the process a session and a process group of its own. */
  readonly ownGroup?: boolean;
}

/** Starts the command line with the rights that the tests have. */
export function startCommand(
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
  { preload, ownGroup = false }: CommandOptions = {},
): TrainProcess {
  return startProcess(commandLine(args, preload), { cwd, env, detached: ownGroup });
}

/** The program and the arguments with which {@linkcode startCommand} starts the command line. */
export function commandLine(args: readonly string[], preload?: string): string[] {
  const options = ["--quiet", "--no-check", "--allow-all", "--config", join(PROJECT, "deno.json")];
  if (preload) options.push("--preload", preload);
  return [Deno.execPath(), "run", ...options, join(PROJECT, "src/cli.ts"), ...args];
}

/** Starts any program. */
export function startProcess(
  [program, ...args]: readonly string[],
  { env = {}, stdin = "null", ...options }: Pick<
    Deno.CommandOptions,
    "cwd" | "env" | "stdin" | "detached"
  >,
): TrainProcess {
  const process = new Deno.Command(program, {
    ...options,
    args,
    env: { NO_COLOR: "1", ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = { stdout: "", stderr: "" };
  const watchers: { pattern: RegExp; resolve: () => void }[] = [];
  const collect = async (name: keyof typeof output) => {
    for await (const text of process[name].pipeThrough(new TextDecoderStream())) {
      output[name] += text;
      for (const { pattern, resolve } of watchers) if (pattern.test(output[name])) resolve();
    }
  };
  const result = Promise.all([process.status, collect("stdout"), collect("stderr")])
    .then(([{ code }]) => ({ code, ...output }));
  return {
    pid: process.pid,
    result,
    seen: (pattern) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      watchers.push({ pattern, resolve });
      if (pattern.test(output.stdout) || pattern.test(output.stderr)) resolve();
      result.then(({ stdout, stderr }) =>
        reject(new Error(`The process ended without ${pattern}:\n${stdout}${stderr}`))
      );
      return promise;
    },
    kill: (signal) => process.kill(signal),
    output: () => output.stdout + output.stderr,
    send: async (text) => {
      const writer = process.stdin.getWriter();
      await writer.write(new TextEncoder().encode(text));
      writer.releaseLock();
    },
    closeInput: () => process.stdin.close(),
    [Symbol.asyncDispose]: async () => {
      try {
        process.kill("SIGKILL");
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // it has ended
      }
      await result;
    },
  };
}

/** Runs a command to its end. */
export async function runCommand(
  args: readonly string[],
  cwd: string,
  env?: Record<string, string>,
): Promise<CommandResult> {
  return await startCommand(args, cwd, env).result;
}

/** The newest run folder below `out`. */
export async function newestRun(out: string): Promise<string> {
  return await Deno.realPath(join(out, "latest"));
}

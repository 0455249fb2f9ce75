/**
 * Runs a fuzzer in a thread of its own, and ends it where a case hangs.
 *
 * `LOCKSTEP_FUZZ_CASES` sets the number of cases, `LOCKSTEP_FUZZ_SEED` another seed. `LOCKSTEP_FUZZ_PATH` repeats the
 * one case of that seed.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { PERMISSIONS } from "../../scripts/test.ts";
import { runDeno } from "../support/run_deno.ts";
import { CASES, type Fuzzer } from "./fuzzer.ts";

/** The work of a thread. */
export interface Job {
  /** URL of a module that exports `FUZZER`. */
  readonly module: string;
  /** Counts the cases that have begun (int32). */
  readonly progress: SharedArrayBuffer;
  readonly seed: number | undefined;
  readonly path: string | undefined;
  readonly cases: number;
  /** File that gets the number of each case before it begins. */
  readonly progressFile: string | undefined;
}

/** A case that fails. */
export interface Finding {
  readonly message: string;
  readonly input?: string;
  readonly seed?: number | undefined;
  readonly path?: string | undefined;
}

/** A message of the thread. */
interface Report {
  /** True for the last one. */
  readonly done: boolean;
  readonly seed?: number;
  readonly finding?: Finding;
}

/** Milliseconds without a new case after which the thread is ended. */
const HANG_MS = 20_000;
const LOOK_MS = 200;

/** The options of {@linkcode runFuzzer}. */
export interface RunOptions {
  readonly cases?: number;
  readonly hangMs?: number;
  readonly seed?: number;
  readonly path?: string;
  readonly progressFile?: string;
}

/**
 * Runs a fuzzer's cases.
 *
 * @param name File in `targets`, without its ending
 * @throws {assert.AssertionError} with seed, path and input of a case that fails, takes too long or too much memory
 */
export async function runFuzzer(name: string): Promise<void> {
  const url = new URL(`./targets/${name}.ts`, import.meta.url).href;
  const { FUZZER } = await import(url) as { FUZZER: Fuzzer };
  const find = FUZZER.isNative ? findFaultInChild : findFault;
  const finding = await find(url, { seed: FUZZER.seed, ...fromEnvironment() });
  if (finding === undefined) return;
  const { message, input, seed, path } = finding;
  const again = seed === undefined
    ? ""
    : `\nRepeat it with LOCKSTEP_FUZZ_SEED=${seed} LOCKSTEP_FUZZ_PATH=${path} deno task test tests/fuzz --filter "${name}"`;
  assert.fail(`${message}\nInput: ${input ?? "unknown"}${again}`);
}

/** {@linkcode findFault} in a process of its own, whose end is a finding too. */
export async function findFaultInChild(
  module: string,
  options: RunOptions = {},
): Promise<Finding | undefined> {
  const child = fileURLToPath(new URL("./child.ts", import.meta.url));
  const progressFile = await Deno.makeTempFile({ prefix: "lockstep-fuzz-" });
  try {
    const args = [
      "run",
      "--no-check",
      ...PERMISSIONS,
      child,
      JSON.stringify([module, { ...options, progressFile }]),
    ];
    const { code, signal, stdout, stderr } = await runDeno(args);
    if (code === 0) return JSON.parse(stdout.trim().split("\n").at(-1)!) ?? undefined;
    const path = await Deno.readTextFile(progressFile);
    const { seed } = options;
    return {
      message: `The process ends with ${signal ?? `code ${code}`}: ${stderr.slice(-1_000)}`,
      seed,
      path,
    };
  } finally {
    await Deno.remove(progressFile);
  }
}

/** Runs the cases of a module; returns the first that fails. */
export async function findFault(
  module: string,
  { cases = CASES, hangMs = HANG_MS, seed, path, progressFile }: RunOptions = {},
): Promise<Finding | undefined> {
  const progress = new SharedArrayBuffer(4);
  const begun = new Int32Array(progress);
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  let latest: Finding | undefined;
  let watch: ReturnType<typeof setInterval> | undefined;
  try {
    return await new Promise<Finding | undefined>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<Report>) => {
        seed ??= data.seed;
        latest = data.finding ?? latest;
        if (data.done) resolve(latest);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        resolve({ message: `The thread ends: ${event.message}`, seed, path: `${begun[0]! - 1}` });
      };
      let seen = 0;
      let since = performance.now();
      watch = setInterval(() => {
        const count = Atomics.load(begun, 0);
        if (count !== seen || count === 0) [seen, since] = [count, performance.now()];
        if (performance.now() - since < hangMs) return;
        const hanging = { seed, path: path ?? `${count - 1}` };
        resolve(latest ?? { message: `A case hangs: the ${count}th`, ...hanging });
      }, LOOK_MS);
      worker.postMessage({ module, progress, seed, path, cases, progressFile } satisfies Job);
    });
  } finally {
    clearInterval(watch);
    worker.terminate();
  }
}

function fromEnvironment(): RunOptions {
  const cases = Deno.env.get("LOCKSTEP_FUZZ_CASES");
  const seed = Deno.env.get("LOCKSTEP_FUZZ_SEED");
  const path = Deno.env.get("LOCKSTEP_FUZZ_PATH");
  return {
    ...(cases ? { cases: Number(cases) } : {}),
    ...(seed ? { seed: Number(seed) } : {}),
    ...(path ? { path } : {}),
  };
}

/**
 * `nvidia-smi`, run so that nothing it does can hold up this process.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import Papa from "../deps/papaparse.ts";
import { anySignal, orAborted } from "../base/async.ts";
import { cleanUpAtStop } from "../base/signals.ts";

const TIMEOUT_MS = 4_000;
/** Longest output that is read. */
const MAX_BYTES = 256 * 1024;

/** The way to run the program. */
export interface NvidiaSmiOptions {
  /** Path of the program, or its name on `PATH` (default `nvidia-smi`). */
  readonly program?: string;
  /** Milliseconds for the answer (default 4,000). */
  readonly timeoutMs?: number;
  /** Ends the program, and the wait for it. */
  readonly signal?: AbortSignal;
}

/** An answer of the program. */
export type NvidiaSmiAnswer =
  | { readonly kind: "text"; readonly text: string }
  /** The program can't be started: there is none. */
  | { readonly kind: "missing" }
  /** It failed, took too long or printed too much; `reason` completes "nvidia-smi …". */
  | { readonly kind: "failed"; readonly reason: string };

/**
 * Runs `nvidia-smi` once. Neither a program that hangs, ignores SIGTERM or never stops printing, nor a driver that
 * keeps it in the kernel, is waited for longer than the time limit.
 */
export async function runNvidiaSmi(
  args: readonly string[],
  { program = "nvidia-smi", timeoutMs = TIMEOUT_MS, signal }: NvidiaSmiOptions = {},
): Promise<NvidiaSmiAnswer> {
  const limit = anySignal(AbortSignal.timeout(timeoutMs), signal);
  const process = start(program, args);
  if (!process) return { kind: "missing" };
  const kill = () => killGroup(process.pid);
  using _atStop = cleanUpAtStop(kill);
  const ended = process.status;
  let isOver = false;
  try {
    const text = await orAborted(readAtMost(process.stdout, MAX_BYTES), limit);
    if (text === undefined) return { kind: "failed", reason: "printed more than 256 KiB" };
    const { success, code } = await orAborted(ended, limit);
    isOver = true;
    return success ? { kind: "text", text } : {
      kind: "failed",
      reason: `exited with code ${code}: ${firstLine(text).replace(/\.$/, "")}`,
    };
  } catch (error) {
    const reason = limit.aborted
      ? `gave no answer within ${timeoutMs / 1000} s`
      : `can't be read: ${error instanceof Error ? error.message : error}`;
    return { kind: "failed", reason };
  } finally {
    if (!isOver) kill();
    process.unref(); // one that the kernel doesn't let go must not keep this process either
  }
}

/**
 * Splits an answer to `--format=csv,noheader` into rows of trimmed cells; rows of another number of cells than asked
 * for are left out.
 */
export function csvRows(text: string, columns: number): string[][] {
  const { data } = Papa.parse<string[]>(text.trim(), { delimiter: ",", skipEmptyLines: true });
  return data.map((row) => row.map((cell) => cell.trim())).filter(({ length }) =>
    length === columns
  );
}

/** Removes control characters from a name that the driver gave, and shortens it. */
export function cleanName(name: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what is removed
  return name.replace(/[\x00-\x1f\x7f-\x9f]/g, "").slice(0, MAX_NAME);
}

const MAX_NAME = 100;
const MAX_REASON = 200;

function firstLine(text: string): string {
  const line = text.trim().split("\n", 1)[0] ?? "";
  return cleanName(line.slice(0, MAX_REASON)) || "without a message";
}

/** In a group of its own, since what a hanging script has started must end with it. */
function start(program: string, args: readonly string[]): Deno.ChildProcess | undefined {
  try {
    return new Deno.Command(program, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      detached: true,
    }).spawn();
  } catch {
    return undefined; // there is none, or it is no program
  }
}

function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch {
    // All of the group have ended.
  }
}

/** Reads a text of at most so many bytes; `undefined` when there are more. The stream is left either way. */
async function readAtMost(
  stream: ReadableStream<Uint8Array>,
  max: number,
): Promise<string | undefined> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of stream) {
    bytes += part.length;
    if (bytes > max) return undefined;
    parts.push(part);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

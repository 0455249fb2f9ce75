/**
 * The thread in which a fuzzer runs: a case that never ends can be ended from outside.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { getHeapStatistics } from "node:v8";
import fc from "fast-check";
import { allocated, countAllocations } from "./allocations.ts";
import { type Fuzzer, MAX_CASE_BYTES } from "./fuzzer.ts";
import type { Finding, Job } from "./run_fuzzer.ts";

/** Milliseconds that no case may take; a case that takes longer gets two more tries, since the machine may be busy. */
const SLOW_MS = 1_000;
/** Bytes by which a case may make the heap grow. */
const MAX_HEAP_BYTES = 256 * 2 ** 20;
/** Milliseconds for finding a smaller case that fails too. */
const SHRINK_MS = 10_000;

self.onmessage = async ({ data }: MessageEvent<Job>) => {
  try {
    self.postMessage({ done: true, ...await run(data) });
  } catch (error) {
    self.postMessage({ done: true, finding: { message: textOf(error) } });
  }
};

async function run(
  { module, progress, seed: otherSeed, path, cases, progressFile }: Job,
): Promise<{ finding?: Finding }> {
  const { FUZZER } = await import(module) as { FUZZER: Fuzzer };
  const shared = await FUZZER.setUp?.();
  await using _ = shared ?? undefined;
  const seed = otherSeed ?? FUZZER.seed;
  const begun = new Int32Array(progress);
  self.postMessage({ done: false, seed });
  const maxBytes = FUZZER.maxBytes ?? MAX_CASE_BYTES;
  countAllocations();
  const note = noteIn(progressFile);
  const property = fc.asyncProperty(FUZZER.input, async (input) => {
    const number = Atomics.add(begun, 0, 1);
    note(number);
    await timed(FUZZER, input, maxBytes);
  });
  const first = await fc.check(property, {
    seed,
    numRuns: path === undefined ? cases : 1,
    endOnFailure: true,
    ...(path === undefined ? {} : { path }),
  });
  if (!first.failed) return {};
  const found = { seed, path: first.counterexamplePath ?? undefined };
  const finding = {
    ...found,
    message: textOf(first.errorInstance),
    input: shown(first.counterexample),
  };
  self.postMessage({ done: false, finding }); // the search for a smaller one may hang
  const smaller = await fc.check(property, {
    ...found,
    interruptAfterTimeLimit: SHRINK_MS,
  } as fc.Parameters<[unknown]>);
  if (!smaller.failed || !smaller.counterexample) return { finding };
  return {
    finding: {
      seed,
      path: smaller.counterexamplePath ?? found.path,
      message: textOf(smaller.errorInstance),
      input: shown(smaller.counterexample),
    },
  };
}

/** Returns a function that notes a number in a file, if there is one. */
function noteIn(path: string | undefined): (number: number) => void {
  if (path === undefined) return () => {};
  const file = Deno.openSync(path, { write: true });
  return (number) => {
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(new TextEncoder().encode(`${number}`)); // never shorter than the one before
  };
}

/** Runs one case within its limits. */
async function timed({ check }: Fuzzer, input: unknown, maxBytes: number): Promise<void> {
  let least = Infinity;
  for (let tries = 0; tries < 3; tries++) {
    allocated.bytes = 0;
    const before = heapBytes();
    const start = performance.now();
    await check(input);
    least = Math.min(least, performance.now() - start);
    const bytes = allocated.bytes;
    if (bytes > maxBytes) {
      throw new Error(`The case allocates ${bytes} bytes of buffers (most: ${maxBytes})`);
    }
    const growth = heapBytes() - before;
    if (growth > MAX_HEAP_BYTES) throw new Error(`The case makes the heap grow by ${growth} bytes`);
    if (least < SLOW_MS) return;
  }
  throw new Error(`The case takes ${Math.round(least)} ms`);
}

/** Not by `Deno.memoryUsage()`, which reads more from the system: this is called twice for each case. */
function heapBytes(): number {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics();
  return used + external;
}

function shown(value: unknown): string {
  const text = fc.stringify(value).replaceAll(/((?:\d{1,3},){40})(?:\d{1,3},){60,}/g, "$1…,");
  return text.length > 4_000 ? `${text.slice(0, 4_000)}…` : text;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

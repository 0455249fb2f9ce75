/**
 * The limit of a process's open files: every pipe, socket and shared memory segment counts as one.
 *
 * @module
 */
import { counted } from "./format.ts";
import { UsageError } from "./errors.ts";

/** Open files of a run without its workers: 44 were measured outside of scans, and a scan opens 16 images at once. */
const OWN_FILES = 96;
/** Open files per worker for pipes, connection and shared memory: 4 were measured. */
const FILES_PER_WORKER = 8;
/** Upper bound of the raised limit: some programs close every possible file descriptor at their start. */
const MAX_RAISED = 65_536n;

/**
 * Raises this process's limit of open files as far as permitted; workers inherit the limit.
 *
 * @throws {UsageError} when the limit stays too low for the number of workers
 */
export function requireFileLimit(workers: number): void {
  const limit = raiseFileLimit();
  const needed = OWN_FILES + FILES_PER_WORKER * workers;
  if (limit === undefined || limit >= needed) return;
  throw new UsageError(
    `This process may open ${limit} files, too few for ${
      counted(workers, "worker")
    }: raise the limit to ${needed} or more (ulimit -n ${needed})`,
  );
}

/** Returns the limit after raising it; `undefined` if the C library can't be called. */
function raiseFileLimit(): number | undefined {
  const isMac = Deno.build.os === "darwin";
  if (!isMac && Deno.build.os !== "linux") return undefined;
  const resource = isMac ? 8 : 7; // RLIMIT_NOFILE
  try {
    using libc = openLibc(isMac ? "libSystem.B.dylib" : "libc.so.6");
    const limit = new BigUint64Array(2); // struct rlimit: soft, hard
    const bytes = new Uint8Array(limit.buffer);
    if (libc.symbols.getrlimit(resource, bytes) !== 0) return undefined;
    const [soft, hard] = limit;
    const wanted = hard < MAX_RAISED ? hard : MAX_RAISED;
    if (wanted <= soft) return Number(soft);
    limit[0] = wanted;
    return Number(libc.symbols.setrlimit(resource, bytes) === 0 ? wanted : soft);
  } catch {
    return undefined; // another C library, or no right to call it
  }
}

function openLibc(name: string) {
  const library = Deno.dlopen(name, {
    getrlimit: { parameters: ["i32", /* resource */ "buffer" /* limits */], result: "i32" },
    setrlimit: { parameters: ["i32", /* resource */ "buffer" /* limits */], result: "i32" },
  });
  return { symbols: library.symbols, [Symbol.dispose]: () => library.close() };
}

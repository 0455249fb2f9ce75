/**
 * The number of files that a process may have open: every pipe, socket and shared memory counts as one.
 *
 * @module
 */
import { counted } from "./format.ts";
import { UsageError } from "./errors.ts";

/** Files of a run besides those of its workers: measured are 44 of a quiet run, and a scan opens 16 images at once. */
const OWN_FILES = 96;
/** Files per worker: its pipes, its connection and its shared memory; measured are 4. */
const FILES_PER_WORKER = 8;
/** The limit is raised no further: some programs close every possible file when they start. */
const MAX_RAISED = 65_536n;

/**
 * Raises this process's limit of open files, which its workers inherit, as far as the user may.
 *
 * @throws {UsageError} when it stays too low for so many workers
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

/** Returns the limit after raising it; nothing where the C library can't be asked. */
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

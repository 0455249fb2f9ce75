/**
 * The processes of one run, and what they hold, found by a variable of their environment.
 *
 * Through a shell: Deno opens `/proc` only to programs that may do everything.
 *
 * @module
 */

/** The variable that all processes of a run inherit; its value is the run's own. */
export const RUN_VARIABLE = "LOCKSTEP_SOAK_RUN";

/** A process of a run. */
export interface RunProcess {
  readonly pid: number;
  readonly role: "coordinator" | "worker" | "server" | "other";
  readonly commandLine: string;
}

async function shell(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", script, "sh", ...args],
    stdin: "null",
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

const FIND = `
for file in $(grep -lsxzF "$1" /proc/[0-9]*/environ); do
  pid=\${file#/proc/}; pid=\${pid%/environ}
  line=$(tr '\\0' ' ' 2>/dev/null < "/proc/$pid/cmdline") && [ -n "$line" ] && echo "$pid $line"
done`;

/** Finds the processes of a run; zombies have no environment any more, and so are none of them. */
export async function processesOf(mark: string): Promise<RunProcess[]> {
  const text = await shell(FIND, `${RUN_VARIABLE}=${mark}`);
  return text.split("\n").flatMap((line) => {
    const [, pid, commandLine] = /^(\d+) (.*\S)/.exec(line) ?? [];
    if (pid === undefined) return [];
    return [{ pid: Number(pid), role: roleOf(commandLine), commandLine }];
  });
}

function roleOf(commandLine: string): RunProcess["role"] {
  if (/train_worker\.ts/.test(commandLine)) return "worker";
  if (/^\S*nats-server\S* --config/.test(commandLine)) return "server";
  return /cli\.ts train/.test(commandLine) ? "coordinator" : "other";
}

const SEGMENTS = `
for pid in "$@"; do grep -hsE ' /(memfd:|dev/shm/)' "/proc/$pid/maps"; done | awk '{print $5}' | sort -u`;

/** Finds the inodes of the shared memory that processes have mapped, with and without a name. */
export async function segmentsOf(pids: readonly number[]): Promise<string[]> {
  return (await shell(SEGMENTS, ...pids.map(String))).split("\n").filter(Boolean);
}

/** Finds the processes of the whole machine that have mapped any of some segments. */
export async function holdersOf(segments: readonly string[]): Promise<string[]> {
  if (segments.length === 0) return [];
  const pattern = ` (${segments.join("|")}) +/(memfd:|dev/shm/)`;
  return (await shell('grep -lsE "$1" /proc/[0-9]*/maps', pattern)).split("\n").filter(Boolean);
}

/** Finds the names in `/dev/shm` that some segments still have. */
export async function namesOf(segments: readonly string[]): Promise<string[]> {
  const script = 'ls -iA /dev/shm | grep -E "^ *($1) "';
  if (segments.length === 0) return [];
  return (await shell(script, segments.join("|"))).split("\n").filter(Boolean)
    .map((line) => line.trim());
}

/** Memory, open files and threads of a process. */
export interface ProcessSize {
  readonly pid: number;
  readonly residentKib: number;
  readonly files: number;
  readonly threads: number;
}

const SIZES = `
for pid in "$@"; do
  rss=$(sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' "/proc/$pid/status" 2>/dev/null)
  threads=$(sed -n 's/^Threads:[^0-9]*//p' "/proc/$pid/status" 2>/dev/null)
  files=$(ls "/proc/$pid/fd" 2>/dev/null | wc -l)
  [ -n "$rss" ] && echo "$pid $rss $files $threads"
done`;

/** Measures processes; those that have ended are left out. */
export async function sizesOf(pids: readonly number[]): Promise<ProcessSize[]> {
  const text = await shell(SIZES, ...pids.map(String));
  return text.split("\n").filter(Boolean).map((line) => {
    const [pid, residentKib, files, threads] = line.split(" ").map(Number);
    return { pid, residentKib, files, threads };
  });
}

/** Sends a signal; returns whether the process was there to get it. */
export function sendSignal(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

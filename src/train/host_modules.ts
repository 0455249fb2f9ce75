/**
 * The comparison of a host's modules with the coordinator's, file by file, before its workers start.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { messageOf, UsageError } from "../base/errors.ts";
import { shellWord } from "../base/shell.ts";
import { moduleFiles } from "../base/user_module.ts";
import { modulesOf, type NamingModules } from "../config/consent.ts";
import { z } from "../deps/zod.ts";

/** Form of {@linkcode ModuleFileHashes}. */
export const moduleFileHashesSchema = z.record(z.string(), z.record(z.string(), z.string()));

/**
 * SHA-256 of the files of each module, in hexadecimal: by the config key that names the module, and by the file's path
 * relative to the module; the module's own path is empty.
 */
export type ModuleFileHashes = Readonly<z.output<typeof moduleFileHashesSchema>>;

/** Characters of a hash that messages show. */
const SHOWN = 12;

/**
 * Hashes the files of all modules of a config.
 *
 * @throws {UsageError} when one can't be read
 */
export async function hashModuleFiles(config: NamingModules): Promise<ModuleFileHashes> {
  const hashes = modulesOf(config).map(async ([key, url]) => [key, await fileHashes(key, url)]);
  return Object.fromEntries(await Promise.all(hashes));
}

/** Names of the two hosts. */
export interface ModuleHosts {
  /** This host at the beginning of a sentence, such as `Host 1 (b)`. */
  readonly hostName: string;
  /** Name of the coordinator's machine. */
  readonly coordinator: string;
}

/**
 * Makes sure that this host has the coordinator's modules.
 *
 * @param expected As the coordinator has them
 * @throws {UsageError} naming the host, the config key, the file and both hashes
 */
export async function checkHostModules(
  config: NamingModules,
  expected: ModuleFileHashes,
  { hostName, coordinator }: ModuleHosts,
): Promise<void> {
  for (const [key, url] of modulesOf(config)) {
    let own: Readonly<Record<string, string>>;
    try {
      own = await fileHashes(key, url);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(`${hostName}: ${messageOf(error)}: ${cure(coordinator, url)}`, {
        cause: error,
      });
    }
    const theirs = expected[key] ?? {};
    // The module's own file comes first, then those that it imports.
    for (const name of new Set([...Object.keys(theirs), ...Object.keys(own)])) {
      if (own[name] === theirs[name]) continue;
      const file = fileURLToPath(new URL(name, url));
      throw new UsageError(
        `${hostName}: ${key}: ${file} differs from the coordinator's (SHA-256 ${
          shown(own[name])
        }, the coordinator (${coordinator}) has ${shown(theirs[name])}): ${
          cure(coordinator, new URL(name, url).href)
        }`,
      );
    }
  }
}

/** SHA-256 of a module's files, by their paths relative to it. */
async function fileHashes(key: string, url: string): Promise<Readonly<Record<string, string>>> {
  const files = await moduleFiles(key, url);
  return Object.fromEntries(files.map(([name, text]) => [name, sha256(text)]));
}

function cure(coordinator: string, url: string): string {
  const path = fileURLToPath(url);
  return `give both hosts the same file, such as with scp ${shellWord(`${coordinator}:${path}`)} ${
    shellWord(path)
  }`;
}

function shown(hash: string | undefined): string {
  return hash?.slice(0, SHOWN) ?? "none: it isn't imported there";
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * The modules of the user's own that a run is made of: all processes must run the same code.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { hashModule } from "../base/user_module.ts";
import { type ModuleHashes, modulesOf, type NamingModules } from "../config/consent.ts";

/** Characters of a hash that messages show. */
const SHOWN = 12;

/**
 * Hashes all modules of a config.
 *
 * @throws {UsageError} when one can't be read
 */
export async function hashModules(config: NamingModules): Promise<ModuleHashes> {
  const hashes = modulesOf(config).map(async ([key, url]) => [key, await hashModule(key, url)]);
  return Object.fromEntries(await Promise.all(hashes));
}

/**
 * Makes sure that this process has the coordinator's modules.
 *
 * @throws {LockstepError} naming the module and both hashes
 */
export async function checkModules(
  { config, modules = {} }: { config: NamingModules; modules?: ModuleHashes | undefined },
): Promise<void> {
  const own = await hashModules(config);
  for (const [key, url] of modulesOf(config)) {
    if (own[key] === modules[key]) continue;
    throw new LockstepError(
      `${key}: ${url}, or a file that it imports, differs from the coordinator's (SHA-256 ${
        own[key].slice(0, SHOWN)
      }, expected ${modules[key]?.slice(0, SHOWN)}): give all machines the same files`,
    );
  }
}

/** Describes, for messages, the differences between the modules of a checkpoint and the present ones. */
export function differentModules(saved: ModuleHashes, present: ModuleHashes): string[] {
  const keys = new Set([...Object.keys(saved), ...Object.keys(present)]);
  return [...keys].filter((key) => saved[key] !== present[key]).map((key) =>
    `its ${key} has the SHA-256 ${saved[key]?.slice(0, SHOWN) ?? "of none"}, here it is ${
      present[key]?.slice(0, SHOWN) ?? "none"
    }`
  );
}

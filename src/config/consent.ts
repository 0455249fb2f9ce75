/**
 * The limits of a run folder's config: a folder from someone else runs no program and connects to no
 * server that this user hasn't named.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { shellWord } from "../base/shell.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { isTrusted, trust } from "../base/trust.ts";
import { hashModule, moduleUrl } from "../base/user_module.ts";
import { parseAddress } from "../protocol/address.ts";
import type { Config } from "./schema.ts";

/** The sections of a config that name modules and servers. */
type Naming = Pick<Config, "model" | "data" | "train" | "validate" | "nats">;

/** Hashes of modules by the config keys that name them. */
export type ModuleHashes = Readonly<Record<string, string>>;

/** The modules and servers that the command line names. */
export interface Consent {
  /** Files of `--allow-module`, as paths or `file:` URLs. */
  readonly modules?: readonly string[] | undefined;
  /** Config keys that `--set`, `--override` or a flag of their own gave. */
  readonly keys?: readonly string[];
}

/** The sections of a config that name modules, as far as they do. */
export interface NamingModules {
  readonly model: Pick<Config["model"], "module">;
  readonly data: Pick<Config["data"], "module">;
  readonly train: Pick<Config["train"], "lossModule">;
  readonly validate: Pick<Config["validate"], "metricsModule">;
}

/** The modules that a config names, by key. */
export function modulesOf(
  { model, data, train, validate }: NamingModules,
): [key: string, url: string][] {
  const modules: Record<string, string | null | undefined> = {
    "model.module": model.module,
    "data.module": data.module,
    "train.lossModule": train.lossModule,
    "validate.metricsModule": validate.metricsModule,
  };
  return Object.entries(modules).filter((entry): entry is [string, string] => !!entry[1]);
}

/**
 * Makes sure that a run folder's config names only modules that this user has run or names now. What is named now goes
 * on record.
 *
 * @param modules Those that will be imported, from {@linkcode modulesOf}
 * @param where The folder or file that names them, for messages
 * @param how How a module is named, such as `--allow-module`; its path follows, or `{key}` stands for the key
 * @throws {UsageError} naming each other module with its key, SHA-256, and the flag
 */
export async function requireModules(
  modules: readonly (readonly [key: string, url: string])[],
  { modules: allowed = [], keys = [] }: Consent,
  { where, how = "--allow-module " }: { where: string; how?: string },
): Promise<void> {
  const named = allowed.map((path) => moduleUrl(path));
  refuseOthers(modules, allowed, named, where);
  const unknown: { key: string; path: string; sha256: string }[] = [];
  for (const [key, url] of modules) {
    const sha256 = await hashModule(key, url);
    if (named.includes(url) || keys.some((own) => own === key)) {
      await record({ kind: "module", url, sha256 });
    } else if (!await isTrusted({ kind: "module", url, sha256 })) {
      unknown.push({ key, path: fileURLToPath(url), sha256 });
    }
  }
  if (unknown.length === 0) return;
  const list = unknown.map(({ key, path, sha256 }) => `${key} ${path} (SHA-256 ${sha256})`);
  const flags = unknown.map(({ key, path }) => how.replace("{key}", key) + shellWord(path));
  throw new UsageError(
    `${where} names code that you haven't run with Lockstep in this version: ${
      list.join("; ")
    }: read it, and if ` +
      `it may run with your rights, add ${flags.join(" ")}`,
  );
}

/**
 * Makes sure that a run folder's config names no server but one that this user has used or names now.
 *
 * @param where The folder or file that names it, for messages
 * @throws {UsageError} naming the server and the flag
 */
export async function requireServer(
  { nats: { url } }: Pick<Config, "nats">,
  { keys = [] }: Consent,
  where: string,
): Promise<void> {
  if (!url || keys.includes("nats.url")) return;
  const { server } = parseAddress({ url });
  if (await isTrusted({ kind: "server", server })) return;
  throw new UsageError(
    `${where} names a nats-server that you haven't used with Lockstep yet, nats.url ${url}: to connect to it, add ` +
      `--nats ${shellWord(url)}`,
  );
}

/** Puts what a run uses on record: its folder may use it again. Returns a warning where that isn't possible. */
export async function recordConsent(
  config: Naming,
  hashes: ModuleHashes,
): Promise<string | undefined> {
  try {
    for (const [key, url] of modulesOf(config)) {
      await trust({ kind: "module", url, sha256: hashes[key] });
    }
    const { url } = config.nats;
    if (url) await trust({ kind: "server", server: parseAddress({ url }).server });
  } catch (error) {
    return `The record of modules and servers that you have used can't be written (${
      reasonOf(error)
    }): ` +
      "commands that work with this run's folder will ask for them again";
  }
}

/** A module that was named now runs, even where the record can't be written: then it has to be named again. */
async function record(what: Parameters<typeof trust>[0]): Promise<void> {
  await trust(what).catch((error) => {
    if (error instanceof TypeError) throw error;
  });
}

function refuseOthers(
  modules: readonly (readonly [key: string, url: string])[],
  allowed: readonly string[],
  named: readonly string[],
  where: string,
): void {
  const wrong = allowed.find((_, index) => !modules.some(([, url]) => url === named[index]));
  if (wrong === undefined) return;
  const those = modules.map(([key, url]) => `${key} ${fileURLToPath(url)}`).join("; ");
  throw new UsageError(
    `--allow-module ${wrong} is no module that is needed from ${where}: ${
      those ? `it names ${those}` : "it names none"
    }`,
  );
}

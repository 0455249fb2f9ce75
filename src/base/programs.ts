/**
 * Programs that Lockstep starts as child processes: their location, command line and permissions.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { shieldedCommand } from "./signals.ts";

/** A named set of permissions in deno.json. */
export type PermissionSet = keyof typeof project.permissions;

/** A value of a permission in deno.json: all, a list, or a list with `ignore`, where all other values look unset. */
type Permission = boolean | readonly string[] | {
  readonly allow?: boolean | readonly string[];
  readonly ignore?: boolean | readonly string[];
};

/** Lockstep's own folder or address. */
const ROOT = new URL("../../", import.meta.url);

/** Path of the project's deno.json, for its processes and their children. */
const CONFIG_VARIABLE = "LOCKSTEP_DENO_CONFIG";

/** Variables that a process doesn't pass on: a server's address may hold a password. */
const SECRETS = { LOCKSTEP_NATS_URL: "" };

/** A program that belongs to Lockstep. */
export interface OwnProgram {
  /** Path below Lockstep's folder or address, or a URL. */
  readonly entry: string | URL;
  readonly permissions: PermissionSet;
  /** Additional permissions, as flags. */
  readonly flags?: readonly string[];
}

/**
 * Returns a command that runs one of Lockstep's programs, in the version of this module; the program ignores
 * signals ({@linkcode shieldedCommand}).
 *
 * The program resolves bare specifiers by the same deno.json as this process, that of the project that started
 * it, since both import the run's own modules. From the network it imports only Lockstep itself, if this module
 * came from there.
 */
export function programCommand(
  { entry, permissions, flags = [] }: OwnProgram,
  options: Omit<Deno.CommandOptions, "args">,
): Deno.Command {
  const config = Deno.env.get(CONFIG_VARIABLE) || configFile(ROOT, Deno.mainModule);
  const args = [
    "run",
    "--quiet",
    "--no-prompt",
    ...(config === undefined ? ["--no-config"] : ["--config", config]),
    ROOT.protocol === "file:" ? "--deny-import" : `--allow-import=${hostOf(ROOT)}`,
    ...permissionFlags(permissions),
    ...flags,
    new URL(entry, ROOT).href,
  ];
  const env = {
    ...options.env,
    ...SECRETS,
    ...(config === undefined ? {} : { [CONFIG_VARIABLE]: config }),
  };
  return shieldedCommand(Deno.execPath(), { ...options, args, env });
}

/** Returns a set of permissions of deno.json as flags of `deno run`. */
export function permissionFlags(set: PermissionSet): string[] {
  const permissions: Readonly<Record<string, Permission>> = project.permissions[set];
  return Object.entries(permissions).flatMap(([name, permission]) => {
    const isPlain = typeof permission === "boolean" || "length" in permission;
    const { allow, ignore } = isPlain ? { allow: permission, ignore: undefined } : permission;
    return [...flagOf(`--allow-${name}`, allow), ...flagOf(`--ignore-${name}`, ignore)];
  });
}

function flagOf(flag: string, value: boolean | readonly string[] | undefined): string[] {
  if (value === true) return [flag];
  return value ? [`${flag}=${value.join(",")}`] : [];
}

/**
 * Returns the path of a program's config file, or `undefined` for none.
 *
 * @param root Lockstep's folder or address
 * @param main URL of the module that began the present process
 */
export function configFile(root: URL, main: string): string | undefined {
  const isForeign = main.startsWith("file:") && !main.startsWith(root.href);
  const found = isForeign ? configAbove(dirname(fileURLToPath(main))) : undefined;
  if (found !== undefined || root.protocol !== "file:") return found;
  return fileURLToPath(new URL("deno.json", root));
}

/** The config file that Deno finds for programs in a folder. */
function configAbove(folder: string): string | undefined {
  for (const name of ["deno.json", "deno.jsonc"]) {
    const path = join(folder, name);
    if (isFile(path)) return path;
  }
  const above = dirname(folder);
  return above === folder ? undefined : configAbove(above);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // Deno passes over what it can't read, too
  }
}

/** Host and port, for `--allow-import`. */
function hostOf({ protocol, hostname, port }: URL): string {
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

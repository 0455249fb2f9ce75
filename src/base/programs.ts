/**
 * Programs that Lockstep starts as processes of its own: where they are, their command line, and their rights.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { shieldedCommand } from "./signals.ts";

/** A named set of permissions in deno.json. */
export type PermissionSet = keyof typeof project.permissions;

/** A value of a permission in deno.json: all, some, or some beside which the rest looks unset. */
type Permission = boolean | readonly string[] | {
  readonly allow?: boolean | readonly string[];
  readonly ignore?: boolean | readonly string[];
};

/** Lockstep's own folder or address. */
const ROOT = new URL("../../", import.meta.url);

/** Names the deno.json of the project, for its processes and theirs. */
const CONFIG_VARIABLE = "LOCKSTEP_DENO_CONFIG";

/** A program of Lockstep's. */
export interface OwnProgram {
  /** Its path under Lockstep's folder or address, or its URL. */
  readonly entry: string | URL;
  readonly permissions: PermissionSet;
  /** Further permissions, as flags. */
  readonly flags?: readonly string[];
}

/**
 * A command that runs one of Lockstep's programs, of its own version, wherever this module came from; it ignores
 * signals ({@linkcode shieldedCommand}).
 *
 * The program resolves bare names as this process does, since a run's own modules are imported by both: by the
 * deno.json of the project that began this process. It imports nothing from the network but Lockstep itself, where that
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
  const own = config === undefined ? {} : { env: { ...options.env, [CONFIG_VARIABLE]: config } };
  return shieldedCommand(Deno.execPath(), { ...options, args, ...own });
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
 * Returns the path of the config file that a program gets, or undefined for none.
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

/** The config file that Deno takes for programs in a folder. */
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

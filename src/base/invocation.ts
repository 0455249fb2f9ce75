/**
 * The form in which this program was called, so that a cure names what its user can type: a flag of the command, a
 * key of the config, or a call of the library.
 *
 * @module
 */

/** A command as it was typed. */
export interface Invocation {
  /** Such as `train`. */
  readonly command: string;
  /** Names of its flags, with the key of the config that each stands for, if any. */
  readonly flags: Readonly<Record<string, string | null>>;
  /** Its arguments. */
  readonly args: readonly string[];
}

/** Flags that stand for a key in commands that have no `--set`. */
const NATS_FLAG = "nats";

let current: Invocation | undefined;

/** Records the command that runs; without one, the library is used. */
export function setInvocation(invocation: Invocation | undefined): void {
  current = invocation;
}

/** The command that runs; `undefined` where the library is used. */
export function invocation(): Invocation | undefined {
  return current;
}

/** Tells whether a command runs, and was given this flag. */
export function wasTyped(flag: string): boolean {
  const own = new RegExp(`^--${flag}(=|$)`);
  return current?.args.some((arg) => own.test(arg)) ?? false;
}

/**
 * Returns a task as it can be typed: `deno task setup`, or `npx -y deno task setup` where Deno came by npx.
 *
 * @param rest The task and its arguments
 */
export function task(rest: string): string {
  return `${/[\\/]_npx[\\/]/.test(Deno.execPath()) ? "npx -y " : ""}deno task ${rest}`;
}

/**
 * Returns how a key of the config can be given a value: as a flag of the command that runs, or as the key where the
 * library is used; nothing where the command can't be given it.
 */
export function giving(key: string, value: string): string | undefined {
  const flag = flagOf(key);
  if (flag) return `--${flag} ${value}`;
  if (!current) return `${key}=${value}`;
  return "set" in current.flags ? `--set ${key}=${value}` : undefined;
}

/**
 * Returns the name of a key of the config where its value is to be changed: a flag of the command that runs, or the
 * key.
 */
export function naming(key: string): string {
  const flag = flagOf(key);
  return flag ? `--${flag}` : key;
}

function flagOf(key: string): string | undefined {
  if (!current) return undefined;
  const found = Object.entries(current.flags).find(([, stands]) => stands === key)?.[0];
  return found ?? (key === "nats.url" && NATS_FLAG in current.flags ? NATS_FLAG : undefined);
}

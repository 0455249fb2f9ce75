/**
 * The form in which this program was called. An error message can thus name a cure that the user can type: a flag
 * of the command, a key of the config, or a call of the library.
 *
 * @module
 */

/** A command as the user typed it. */
export interface Invocation {
  /** Name of the command, such as `train`. */
  readonly command: string;
  /** Names of its flags, each with the config key that it sets, if any. */
  readonly flags: Readonly<Record<string, string | null>>;
  /** Arguments of the command. */
  readonly args: readonly string[];
}

/** Flags that set a config key in commands without `--set`. */
const NATS_FLAG = "nats";

let current: Invocation | undefined;

/** Records the running command; without one, the code runs as a library. */
export function setInvocation(invocation: Invocation | undefined): void {
  current = invocation;
}

/** The running command; `undefined` when the code runs as a library. */
export function invocation(): Invocation | undefined {
  return current;
}

/** Tells whether a command runs and was given this flag. */
export function wasTyped(flag: string): boolean {
  const own = new RegExp(`^--${flag}(=|$)`);
  return current?.args.some((arg) => own.test(arg)) ?? false;
}

/**
 * Returns a task as a command to type: `deno task setup`, or `npx -y deno task setup` where npx started Deno.
 *
 * @param rest The task and its arguments
 */
export function task(rest: string): string {
  return `${/[\\/]_npx[\\/]/.test(Deno.execPath()) ? "npx -y " : ""}deno task ${rest}`;
}

/**
 * Returns the way to set a config key: a flag of the running command, or the key when the code runs as a library.
 * Returns `undefined` if the command can't set the key.
 */
export function giving(key: string, value: string): string | undefined {
  const flag = flagOf(key);
  if (flag) return `--${flag} ${value}`;
  if (!current) return `${key}=${value}`;
  return "set" in current.flags ? `--set ${key}=${value}` : undefined;
}

/**
 * Returns the name under which a user changes a config key: a flag of the running command, or the key.
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

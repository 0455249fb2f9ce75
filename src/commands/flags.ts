/**
 * Flags of the commands: declared once, used for parsing, for errors and for `--help`.
 *
 * @module
 */
import { type Args, parseArgs } from "../deps/std_parse_args.ts";
import { nearestName, UsageError } from "../base/errors.ts";
import { isFileUrl, pathOption } from "../base/file_path.ts";
import { setInvocation } from "../base/invocation.ts";

/** One flag. */
export interface Flag {
  readonly name: string;
  /** Placeholder of its value in the help text; a flag without one is a switch. */
  readonly value?: string;
  /** The flag may stand without its value. */
  readonly optional?: boolean;
  /** One letter. */
  readonly short?: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** Names that other tools have for it: typed instead of it, they are answered with its own. */
  readonly also?: readonly string[];
  /** The effect of the flag, in a line. */
  readonly help: string;
}

/** A command's name, purpose and flags. */
export interface CommandHelp {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** Names of positional arguments, as shown in the usage line; none are accepted unless given. */
  readonly positional?: string;
  readonly examples?: readonly string[];
}

/** The flag that every command has. */
export const HELP_FLAG: Flag = { name: "help", short: "h", help: "Show this help" };
/** The flag of commands that can say more. */
export const VERBOSE_FLAG: Flag = {
  name: "verbose",
  short: "v",
  help: "Show worker logs, TensorFlow's messages and stack traces",
};

/** Names code of a run folder that may run. */
export const ALLOW_MODULE_FLAG: Flag = {
  name: "allow-module",
  value: "FILE",
  many: true,
  help: "Run this module of a run that isn't yours, or that you changed; repeatable",
};

/** The flags of commands that work with a trained model. */
export const MODEL_FLAGS: readonly Flag[] = [
  {
    name: "run",
    short: "r",
    value: "DIR",
    help: "The run (default: the newest of runs/ with the checkpoint)",
  },
  {
    name: "checkpoint",
    value: "C",
    help: "The run's best or last, a checkpoint's folder, or a file of weights (default: best)",
  },
  ALLOW_MODULE_FLAG,
];

/** Parsed flags, with typed access. */
export class Flags {
  readonly #values: Args;
  readonly #typed: ReadonlyMap<string, string>;

  /**
   * @param values As the parser gives them
   * @param typed How flags are written, by name: `-w` for `workers`
   */
  constructor(values: Args, typed: ReadonlyMap<string, string> = new Map()) {
    this.#values = values;
    this.#typed = typed;
  }

  /** Positional arguments. */
  get positional(): string[] {
    return this.#values._;
  }

  /** A flag as it was typed, such as `--workers` or `-w`. */
  typed(name: string): string {
    return this.#typed.get(name) ?? `--${name}`;
  }

  /** Tells whether a switch is given. */
  on(name: string): boolean {
    return this.#values[name] === true;
  }

  /** Tells whether a flag is given at all. */
  given(name: string): boolean {
    const value = this.#values[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  }

  /** A flag's value, or `undefined`. */
  text(name: string): string | undefined {
    const value = this.#values[name];
    if (Array.isArray(value)) {
      throw new UsageError(`${this.typed(name)} is given ${value.length} times: once is enough`);
    }
    if (value === "") throw new UsageError(`${this.typed(name)} needs a value`);
    return value as string | undefined;
  }

  /** A flag's value as a whole number of at least `minimum`, or `fallback` where it stands without one. */
  optionalInteger<T>(name: string, minimum: number, fallback: T): number | T | undefined {
    return this.#values[name] === "" ? fallback : this.integer(name, minimum);
  }

  /** All values of a repeatable flag. */
  all(name: string): string[] {
    const values = (this.#values[name] ?? []) as string[];
    if (values.includes("")) throw new UsageError(`${this.typed(name)} needs a value`);
    return values;
  }

  /** A flag's value as a whole number from `minimum` to `maximum`. */
  integer(name: string, minimum: number, maximum = Infinity): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    const flag = this.typed(name);
    if (!Number.isSafeInteger(value) || value < minimum || !/^\d+$/.test(text)) {
      throw new UsageError(`${flag} is ${text}: give a whole number of at least ${minimum}`);
    }
    if (value > maximum) {
      throw new UsageError(`${flag} is ${text}: give a whole number of at most ${maximum}`);
    }
    return value;
  }
}

/**
 * Parses a command's arguments.
 *
 * @throws {UsageError} for an unknown flag (with the nearest known one) or an unexpected argument
 */
export function parseFlags(command: CommandHelp, args: readonly string[]): Flags {
  setInvocation({
    command: command.name,
    flags: Object.fromEntries(
      command.flags.map(({ name, help }) => [name, /\(key: ([\w.]+)\)/.exec(help)?.[1] ?? null]),
    ),
    args,
  });
  const { flags } = command;
  const typed = new Map<string, string>();
  const values = parseArgs(joinValues(command, args, typed), {
    boolean: flags.filter(({ value }) => !value).map(({ name }) => name),
    string: flags.filter(({ value }) => value).map(({ name }) => name),
    collect: flags.filter(({ many }) => many).map(({ name }) => name),
    alias: Object.fromEntries(flags.flatMap(({ name, short }) => short ? [[short, name]] : [])),
    unknown: (arg, key) => {
      throw unknownFlag(command, arg, key ?? arg);
    },
  });
  const odd = flags.find(({ name, value }) => !value && typeof values[name] === "string");
  if (odd) {
    throw new UsageError(
      `--${odd.name} takes no value, so =${values[odd.name]} means nothing: leave it out`,
    );
  }
  if (!command.positional && values._.length > 0 && !values.help) {
    throw new UsageError(
      `Unexpected argument "${values._[0]}" of ${command.name}: ` +
        `flags start with --, see deno task ${command.name} --help`,
    );
  }
  if (values.help) return new Flags(values, typed);
  return new Flags({ ...values, ...withPaths(command, values, typed) }, typed);
}

/** Names of the values, in the help text, of flags that take files or folders. */
const PATH_VALUES = ["DIR", "FILE", "C"];

/**
 * Positional arguments and values of flags in which a `file:` URL is its path, and `~` is the home folder, also where a
 * shell left it: in quotes, and behind `=`.
 */
function withPaths({ flags, positional }: CommandHelp, values: Args, typed: Map<string, string>) {
  const changed: Record<string, string[] | string> = {};
  for (const { name, value } of flags) {
    const given = values[name];
    if (value === undefined || !PATH_VALUES.includes(value)) continue;
    const here = (text: string) =>
      text.startsWith("~") || isFileUrl(text)
        ? pathOption(typed.get(name) ?? `--${name}`, text)
        : text;
    if (Array.isArray(given)) changed[name] = given.map(here);
    else if (typeof given === "string") changed[name] = here(given);
  }
  // A pattern that the shell expanded may have given names that begin with ~ as they are.
  const isPath = (text: string) =>
    positional !== undefined && (/^~($|\/)/.test(text) || isFileUrl(text));
  return {
    ...changed,
    _: values._.map((text) => isPath(text) ? pathOption("The path", text) : text),
  };
}

/**
 * Arguments in which each flag has its value with it: `--lr -1` becomes `--lr=-1`, and a flag that another one follows
 * has the empty value. What follows `--` stays.
 *
 * @param typed Gets how a flag was typed, where that is not `--` and its name
 * @throws {UsageError} for a long name behind a single dash
 */
function joinValues(
  command: CommandHelp,
  args: readonly string[],
  typed: Map<string, string>,
): string[] {
  const joined: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at];
    if (arg === "--") return [...joined, ...args.slice(at)];
    const long = /^-([A-Za-z][\w-]+)(?:=.*)?$/s.exec(arg)?.[1];
    if (long && command.flags.some(({ name }) => name === long)) {
      throw unknownFlag(command, `-${long}`, long);
    }
    const flag = command.flags.find(({ name, short }) =>
      arg === `--${name}` || (short !== undefined && arg.startsWith(`-${short}`))
    );
    if (!flag?.value) {
      joined.push(arg);
      continue;
    }
    if (!arg.startsWith("--")) typed.set(flag.name, `-${flag.short}`);
    const isAlone = arg.length === 2 || arg.startsWith("--");
    if (!isAlone) {
      joined.push(arg);
      continue;
    }
    const next = args[at + 1];
    const hasValue = next !== undefined && !looksLikeFlag(next);
    joined.push(`--${flag.name}=${hasValue ? next : ""}`);
    if (hasValue) at++;
  }
  return joined;
}

/** Tells whether an argument is a flag: it begins with a dash, and is neither `-` alone nor a negative number. */
function looksLikeFlag(arg: string): boolean {
  return arg.length > 1 && arg.startsWith("-") && !/^-(\.?\d|inf)/i.test(arg);
}

function unknownFlag(command: CommandHelp, arg: string, key: string): UsageError {
  const spelt = key.replaceAll("_", "-").replace(/\B[A-Z]/g, (letter) => `-${letter}`)
    .toLowerCase();
  const called = command.flags.find(({ also }) => also?.includes(spelt))?.name;
  const nearest = called ?? nearestName(spelt, command.flags.map(({ name }) => name)) ??
    nearestName(key, command.flags.map(({ name }) => name));
  const hint = nearest ? `did you mean --${nearest}?` : hintOf(command, key);
  const [typed] = arg.split("="); // the value may be a secret
  return new UsageError(`Unknown flag ${typed} of ${command.name}: ${hint}`);
}

/** The way to set a key of the config, where the command has one. */
function hintOf({ name, flags }: CommandHelp, key: string): string {
  const see = `see deno task ${name} --help`;
  const canSet = flags.some((flag) => flag.name === "set");
  if (!canSet) return see;
  return key.includes(".")
    ? `keys of the config are set with --set ${key}=…`
    : `${see}; keys of the config are set with --set KEY=VALUE`;
}

/** The help text of a command. */
export function helpText(command: CommandHelp): string {
  const valueOf = ({ value, optional }: Flag) =>
    optional ? ` [${value}]` : value ? ` ${value}` : "";
  const heads = command.flags.map((flag) =>
    `${flag.short ? `-${flag.short}, ` : "    "}--${flag.name}${valueOf(flag)}`
  );
  const width = Math.max(...heads.map((head) => head.length));
  const rows = command.flags.map(({ help }, index) => `  ${heads[index].padEnd(width)}  ${help}`);
  const usage = `Usage: deno task ${command.name}${
    command.positional ? ` ${command.positional}` : ""
  } [flags]`;
  const examples = (command.examples ?? []).map((example) => `  ${example}`);
  return [command.summary, "", usage, "", ...rows]
    .concat(examples.length > 0 ? ["", "Examples:", ...examples] : []).join("\n");
}

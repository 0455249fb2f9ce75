/**
 * Flags of the commands: declared once, used for parsing, for errors and for `--help`.
 *
 * @module
 */
import { type Args, parseArgs } from "@std/cli/parse-args";
import { nearestName, UsageError } from "../base/errors.ts";
import { NATS_URL_VARIABLE } from "../protocol/address.ts";

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
  /** What it does, in a line. */
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
  { name: "run", short: "r", value: "DIR", help: "The run, such as runs/latest" },
  {
    name: "checkpoint",
    value: "C",
    help: "The run's best or last, a checkpoint's folder, or a file of weights (default: best)",
  },
  ALLOW_MODULE_FLAG,
];

/** The server that the environment names, as an override that flags come after. */
export function natsFromEnvironment(): { key: string; value: string }[] {
  const value = Deno.env.get(NATS_URL_VARIABLE);
  return value ? [{ key: "nats.url", value }] : [];
}

/** The server that a flag `--nats` or the environment names. */
export function natsUrlOf(flags: Flags): string | undefined {
  return flags.text("nats") ?? natsFromEnvironment()[0]?.value;
}

/** Parsed flags, with typed access. */
export class Flags {
  readonly #values: Args;

  constructor(values: Args) {
    this.#values = values;
  }

  /** Positional arguments. */
  get positional(): string[] {
    return this.#values._;
  }

  /** Whether a switch is given. */
  on(name: string): boolean {
    return this.#values[name] === true;
  }

  /** Whether a flag is given at all. */
  given(name: string): boolean {
    const value = this.#values[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  }

  /** A flag's value, or `undefined`. */
  text(name: string): string | undefined {
    const value = this.#values[name];
    if (Array.isArray(value)) {
      throw new UsageError(`--${name} is given ${value.length} times: once is enough`);
    }
    if (value === "") throw new UsageError(`--${name} needs a value`);
    return value as string | undefined;
  }

  /** A flag's value as a whole number of at least `minimum`, or `fallback` where it stands without one. */
  optionalInteger<T>(name: string, minimum: number, fallback: T): number | T | undefined {
    return this.#values[name] === "" ? fallback : this.integer(name, minimum);
  }

  /** All values of a repeatable flag. */
  all(name: string): string[] {
    return (this.#values[name] ?? []) as string[];
  }

  /** A flag's value as a whole number from `minimum` to `maximum`. */
  integer(name: string, minimum: number, maximum = Infinity): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < minimum || !/^\d+$/.test(text)) {
      throw new UsageError(`--${name} is ${text}: give a whole number of at least ${minimum}`);
    }
    if (value > maximum) {
      throw new UsageError(`--${name} is ${text}: give a whole number of at most ${maximum}`);
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
  const flags = command.flags;
  const names = flags.map(({ name }) => name);
  const values = parseArgs(args, {
    boolean: flags.filter(({ value }) => !value).map(({ name }) => name),
    string: flags.filter(({ value }) => value).map(({ name }) => name),
    collect: flags.filter(({ many }) => many).map(({ name }) => name),
    alias: Object.fromEntries(flags.flatMap(({ name, short }) => short ? [[short, name]] : [])),
    unknown: (arg, key) => {
      if (key === undefined) return true;
      const nearest = nearestName(key, names);
      const hint = nearest ? `did you mean --${nearest}?` : "";
      throw new UsageError(
        `Unknown flag ${arg} of ${command.name}: ${hint || `see deno task ${command.name} --help`}`,
      );
    },
  });
  if (!command.positional && values._.length > 0 && !values.help) {
    throw new UsageError(
      `Unexpected argument "${values._[0]}" of ${command.name}: ` +
        `flags start with --, see deno task ${command.name} --help`,
    );
  }
  return new Flags(values);
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

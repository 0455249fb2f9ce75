/**
 * Stand-in for `@std/cli/parse-args`, behind the same import name (see README, "Stand-ins").
 *
 * JSR is not reachable from every machine that Lockstep is tested on, npm is; `@std/cli`'s parser
 * descends from npm's `minimist`, so the options used here mean the same in both. To go back to the
 * original, point the import map's `@std/cli/parse-args` at `jsr:@std/cli/parse-args` and delete this file.
 *
 * @module
 */
import minimist from "minimist";

/** The subset of `@std/cli`'s `ParseOptions` that Lockstep uses. */
export interface ParseOptions {
  /** Flags that never take a value. */
  boolean?: readonly string[];
  /** Flags whose value stays a string. */
  string?: readonly string[];
  /** Flags that may be repeated; their value is always an array. */
  collect?: readonly string[];
  /** Short names: `{ h: "help" }`. */
  alias?: Readonly<Record<string, string>>;
  /** Called for each flag that is not declared; return `false` to leave it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Flags by name, and the positional arguments under `_`. */
export type Args = { _: string[] } & Record<string, unknown>;

/** Parses command-line arguments as `@std/cli`'s `parseArgs` does, for the options above. */
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Args {
  const collect = new Set(options.collect ?? []);
  const parsed = minimist([...args], {
    boolean: [...options.boolean ?? []],
    string: ["_", ...options.string ?? []],
    alias: { ...options.alias },
    unknown: (arg: string) => {
      const match = /^--?([^=]+)(?:=(.*))?$/s.exec(arg);
      return options.unknown?.(arg, match?.[1], match?.[2]) !== false;
    },
  });
  for (const name of collect) {
    const value = parsed[name];
    parsed[name] = value === undefined ? [] : Array.isArray(value) ? value : [value];
  }
  return parsed as Args;
}

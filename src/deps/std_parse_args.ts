/**
 * Stand-in for `@std/cli/parse-args`, behind the same import name (see docs/design.md, "Stand-ins").
 *
 * JSR is not reachable from every machine that Lockstep is tested on; `node:util` comes with Deno. To go back to the
 * original, let this file re-export `jsr:@std/cli/parse-args`.
 *
 * @module
 */
import { parseArgs as tokenize } from "node:util";

/** The subset of `@std/cli`'s `ParseOptions` that Lockstep uses. */
export interface ParseOptions {
  /** Flags that take no value but `=true` and `=false`. */
  boolean?: readonly string[];
  /** Flags whose value stays a string; one without a value has the empty string. */
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

/**
 * Parses command-line arguments as `@std/cli`'s `parseArgs` does, for the options above. A flag that is given several
 * times and not collected has an array of its values; a boolean one has the last.
 */
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Args {
  const letters = new Map(
    Object.entries(options.alias ?? {}).map(([letter, name]) => [name, letter]),
  );
  const declared = (names: readonly string[] = [], type: "boolean" | "string") =>
    names.map((name) => {
      const short = letters.get(name);
      return [name, short === undefined ? { type } : { type, short }] as const;
    });
  const booleans = new Set(options.boolean ?? []);
  const known = [...declared(options.boolean, "boolean"), ...declared(options.string, "string")];
  const { tokens } = tokenize({
    args: [...args],
    options: Object.fromEntries(known),
    strict: false, // what is wrong is said in our own words
    tokens: true,
  });
  const names = new Set(known.map(([name]) => name));
  const collect = new Set(options.collect ?? []);
  const flags = new Map<string, unknown>([...collect].map((name) => [name, []]));
  const positional: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positional.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, inlineValue } = token;
    if (!names.has(name)) {
      const arg = inlineValue ? `${rawName}=${token.value}` : rawName;
      if (options.unknown?.(arg, name, token.value) === false) continue;
    }
    if (booleans.has(name)) {
      flags.set(name, token.value === undefined ? true : booleanOf(token.value));
      continue;
    }
    // `node:util` takes `-w=2` for the value `=2`.
    const value = inlineValue && !rawName.startsWith("--")
      ? token.value.replace(/^=/, "")
      : token.value ?? "";
    const before = flags.get(name);
    flags.set(name, before === undefined ? value : [before, value].flat());
  }
  return { _: positional, ...Object.fromEntries(flags) };
}

/** The value of a switch: `true` and `false` as such, all else as it is written. */
function booleanOf(text: string): boolean | string {
  return text === "true" || text === "false" ? text === "true" : text;
}

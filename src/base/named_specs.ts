/**
 * Things that a config names with their arguments: `"Name"`, `{ Name: arguments }` or `{ Name: 176 }`.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { nearestName } from "./errors.ts";

/** A named thing as a config writes it. */
export type NamedInput = string | { [name: string]: unknown };

/** The meaning of a name. */
export interface Named {
  /** Validates the arguments and fills in defaults. */
  readonly schema: z.ZodObject;
  /** The argument that a bare number or list sets, or a function that converts it to arguments. */
  readonly shorthand?: string | ((value: unknown) => Record<string, unknown>);
  /** The bare values that a `shorthand` function accepts, for the JSON Schema. */
  readonly short?: z.ZodType;
}

/** The known names of each kind of named thing, by `what` of its schema. */
const tables = new Map<string, Readonly<Record<string, Named>>>();

/**
 * Returns the arguments of a named thing in a config, in their long form.
 *
 * @param what As {@linkcode namedSchema} was given it
 * @returns `undefined` when the name is unknown, or takes no bare value
 */
export function longForm(
  what: string,
  name: string,
  given: unknown,
): Record<string, unknown> | undefined {
  const table = tables.get(what);
  if (!table || !Object.hasOwn(table, name)) return undefined;
  if (isArguments(given)) return { ...given as Record<string, unknown> | null | undefined };
  const { shorthand } = table[name];
  return shorthand === undefined
    ? undefined
    : expanded(given, shorthand) as Record<string, unknown>;
}

/** Names of the arguments that a named thing takes; `undefined` when the name is unknown. */
export function argumentNames(what: string, name: string): string[] | undefined {
  const table = tables.get(what);
  return table && Object.hasOwn(table, name) ? Object.keys(table[name].schema.shape) : undefined;
}

/**
 * All named things of a kind.
 *
 * @param what As {@linkcode namedSchema} was given it
 */
export function namedTable(what: string): Readonly<Record<string, Named>> {
  return tables.get(what) ?? {};
}

/**
 * Returns a schema of one named thing; the parsed value has the long form, `{ Name: { all arguments } }`.
 *
 * @param what The kind of thing, such as "transform", for messages
 * @param example An example as a config writes it
 * @param table All things of the kind by name
 */
export function namedSchema<Spec>(
  what: string,
  example: string,
  table: Readonly<Record<string, Named>>,
) {
  tables.set(what, table);
  return z.custom<NamedInput>(isNamedInput, {
    message: `give a ${what}'s name, or { Name: arguments }, such as ${example}`,
  }).meta({ named: what }).transform((input, context): Spec => {
    const [name, given] = typeof input === "string" ? [input, {}] : Object.entries(input)[0];
    const atName = typeof input === "string" ? [] : [name];
    const report = (path: PropertyKey[], message: string): never => {
      context.issues.push({ code: "custom", path, message, input: given });
      return z.NEVER;
    };
    if (!Object.hasOwn(table, name)) {
      return report(atName, unknownName(what, name, Object.keys(table)));
    }
    const { schema, shorthand: argument } = table[name];
    const shorthand = isArguments(given) ? undefined : argument;
    const result = schema.safeParse(expanded(given, shorthand));
    if (result.success) return { [name]: result.data } as Spec;
    for (const issue of result.error.issues) {
      if (issue.code === "unrecognized_keys") {
        for (const key of issue.keys) {
          report([...atName, key], unknownArgument(name, key, Object.keys(schema.shape)));
        }
      } else if (typeof input === "string") {
        report([], `${name} needs ${String(issue.path[0] ?? "arguments")}: ${issue.message}`);
      } else {
        report([...atName, ...issue.path.slice(shorthand ? 1 : 0)], issue.message);
      }
    }
    return z.NEVER;
  });
}

function expanded(given: unknown, shorthand: Named["shorthand"]): unknown {
  if (shorthand === undefined) return given ?? {};
  return typeof shorthand === "function" ? shorthand(given) : { [shorthand]: given };
}

function unknownName(what: string, name: string, known: string[]): string {
  const nearest = nearestName(name, known);
  if (nearest) return `unknown ${what} ${name}: did you mean ${nearest}?`;
  return `unknown ${what} ${name}: known ones are ${known.join(", ")}`;
}

function unknownArgument(name: string, key: string, known: string[]): string {
  const nearest = nearestName(key, known);
  const cure = nearest ? `did you mean ${nearest}?` : `it has ${known.join(", ")}`;
  return `unknown argument ${key} of ${name}: ${cure}`;
}

function isArguments(value: unknown): boolean {
  return value === null || value === undefined ||
    (typeof value === "object" && !Array.isArray(value));
}

function isNamedInput(value: unknown): boolean {
  if (typeof value === "string") return true;
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.keys(value).length === 1;
}

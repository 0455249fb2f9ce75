/**
 * Lists of named things with arguments, as a config writes them: `"ReLU"`, `{ Dropout: 0.2 }` or
 * `{ Linear: { outFeatures: 500 } }`.
 *
 * A validated entry always has the long form, so that a resolved config can be read again.
 *
 * @module
 */
import { z } from "zod";
import { nearestName } from "./errors.ts";

/** An entry as a config may write it. */
export type NamedInput = string | { readonly [name: string]: unknown };

/** The arguments that each name takes. */
type ArgumentSchemas = Record<string, z.ZodObject>;

/** One validated entry: its name and all its arguments. */
export type NamedSpec<Schemas extends ArgumentSchemas> = {
  [Name in keyof Schemas]: { [Key in Name]: z.output<Schemas[Name]> };
}[keyof Schemas];

/** Turns what stands in the place of arguments, such as a bare number, into arguments. */
export type Shorthand = (value: unknown) => Record<string, unknown>;

/**
 * The schema of one entry.
 *
 * @param what What an entry is, for messages, such as `layer`
 * @param example A well-written entry, for messages
 * @param schemas Arguments by name
 * @param shorthands What a bare value stands for, by name
 */
export function namedSpecSchema<Schemas extends ArgumentSchemas>(
  { what, example, schemas, shorthands }: {
    what: string;
    example: string;
    schemas: Schemas;
    shorthands: Partial<Record<keyof Schemas, Shorthand>>;
  },
) {
  const names = Object.keys(schemas);
  return z.custom<NamedInput>(isNamedInput, {
    message: `give a ${what}'s name, or { Name: arguments }, such as ${example}`,
  }).transform((input, context): NamedSpec<Schemas> => {
    const isBare = typeof input === "string";
    const [name, given] = isBare ? [input, {}] : Object.entries(input)[0];
    const atName = isBare ? [] : [name];
    const report = (path: PropertyKey[], message: string): never => {
      context.issues.push({ code: "custom", path, message, input: given });
      return z.NEVER;
    };
    if (!Object.hasOwn(schemas, name)) return report(atName, unknown(what, name, names));
    const shorthand = isArguments(given) ? undefined : shorthands[name as keyof Schemas];
    const result = schemas[name].safeParse(shorthand ? shorthand(given) : given ?? {});
    if (result.success) return { [name]: result.data } as NamedSpec<Schemas>;
    for (const issue of result.error.issues) {
      if (issue.code === "unrecognized_keys") {
        const known = Object.keys(schemas[name].shape);
        for (const key of issue.keys) {
          report([...atName, key], unknown("argument", `${key} of ${name}`, known, key));
        }
      } else if (isBare) {
        report([], `${name} needs ${String(issue.path[0] ?? "arguments")}: ${issue.message}`);
      } else {
        report([...atName, ...(shorthand ? [] : issue.path)], issue.message);
      }
    }
    return z.NEVER;
  });
}

function unknown(what: string, shown: string, known: readonly string[], name = shown): string {
  const nearest = nearestName(name, known);
  const cure = nearest ? `did you mean ${nearest}?` : `known ones are ${known.join(", ")}`;
  return `unknown ${what} ${shown}: ${cure}`;
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

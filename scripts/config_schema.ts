/**
 * The config's JSON Schema for editors: that of the program, with the arguments of named things, in a form in which each
 * error has one place.
 *
 * @module
 */
import { z } from "zod";
import { namedTable } from "../src/base/named_specs.ts";
import { configSchema } from "../src/config/schema.ts";

/** A JSON Schema, as far as the config's needs it. */
export interface JsonSchema {
  $schema?: string;
  $ref?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  minProperties?: number;
  maxProperties?: number;
  items?: JsonSchema | JsonSchema[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  if?: JsonSchema;
  then?: JsonSchema;
  const?: unknown;
  enum?: unknown[];
  examples?: unknown[];
  default?: unknown;
  definitions?: Record<string, JsonSchema>;
  /** The kind of a named thing, such as `transform`; not in the published schema. */
  named?: string;
}

/** Path of the published schema, from the project's root. */
export const SCHEMA_PATH = "configs/config.schema.json";

/** The JSON Schema of what a config may hold: documented, with `oneOf` for a choice and `named` for named things. */
export function describedSchema(): JsonSchema {
  const schema = convert(configSchema);
  // Unless given, it is made of the data's name.
  delete schema.properties!.name.default;
  return schema;
}

/** The JSON Schema that editors read. */
export function editorSchema(): JsonSchema {
  const kinds = new Set<string>();
  const { $schema, ...root } = forEditors(describedSchema(), kinds);
  const definitions: Record<string, JsonSchema> = {};
  for (const kind of kinds) definitions[kind] = forEditors(namedThing(kind), kinds);
  return {
    ...($schema === undefined ? {} : { $schema }),
    title: "Lockstep config",
    description: "Made of the schemas in src/ by `deno task make:config`.",
    ...root,
    definitions,
  };
}

/** The places of a schema that lack a description. */
export function undescribed(schema: JsonSchema, path: readonly string[] = []): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, value]) => [
    ...(value.description ? [] : [[...path, key].join(".")]),
    ...undescribed(value, [...path, key]),
  ]);
  const branches = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((each) => each ?? []);
  const parts = [
    ...branches.filter(({ if: condition }) => !condition),
    ...branches.flatMap((branch) => branch.then ?? []),
    ...(schema.items && !Array.isArray(schema.items) ? [schema.items] : []),
  ];
  const named = Object.entries(schema.definitions ?? {});
  return [
    ...own,
    ...parts.flatMap((part) => undescribed(part, path)),
    ...named.flatMap(([kind, definition]) => undescribed(definition, [...path, kind])),
  ];
}

/** The JSON Schema of what a schema takes, without marks for the program alone. */
function convert(schema: z.ZodType): JsonSchema {
  const options = { io: "input", unrepresentable: "any", target: "draft-7" } as const;
  return plain(z.toJSONSchema(schema, options) as JsonSchema);
}

/** A schema whose descriptions stand beside their keys, and whose words are examples. */
function plain(schema: JsonSchema): JsonSchema {
  const { path, ...rest } = mapParts(schema, plain) as JsonSchema & { path?: { names: string[] } };
  if (path && path.names.length > 0) rest.examples = [...path.names];
  if (JSON.stringify(rest.default) === "{}") delete rest.default; // each of its keys has its own
  const described = rest.anyOf?.find(({ description }) => description !== undefined);
  if (rest.description === undefined && described) rest.description = described.description!;
  return rest;
}

/** One named thing: its name alone, where it needs no more, or a mapping from the name to its arguments. */
function namedThing(kind: string): JsonSchema {
  const entries = Object.entries(namedTable(kind)).map(([name, { schema, shorthand, short }]) => {
    const { $schema: _, description, ...args } = convert(schema);
    const bare = typeof shorthand === "string"
      ? args.properties![shorthand]
      : short && convert(short);
    const isComplete = (args.required ?? []).length === 0;
    const values = [args, ...(bare ? [bare] : []), ...(isComplete ? [{ type: "null" }] : [])];
    return { name, isComplete, property: { description: description!, anyOf: values } };
  });
  const alone = entries.filter(({ isComplete }) => isComplete).map(({ name }) => name);
  return {
    anyOf: [
      {
        type: "object",
        properties: Object.fromEntries(entries.map(({ name, property }) => [name, property])),
        additionalProperties: false,
        minProperties: 1,
        maxProperties: 1,
      },
      { type: "string", enum: alone },
    ],
  };
}

/** A schema in which named things are references, and a choice is decided by its name before anything else. */
function forEditors(schema: JsonSchema, kinds: Set<string>): JsonSchema {
  const { named, oneOf, $schema, ...rest } = mapParts(schema, (part) => forEditors(part, kinds));
  if (named !== undefined) {
    kinds.add(named);
    return { $ref: `#/definitions/${named}` };
  }
  const dialect = $schema === undefined ? {} : { $schema };
  return { ...dialect, ...rest, ...(oneOf ? choice(oneOf) : {}) };
}

/** Alternatives that differ in the one value that a key of theirs may have. */
function choice(alternatives: JsonSchema[]): JsonSchema {
  const [first] = alternatives;
  const key = Object.keys(first.properties!).find((name) =>
    alternatives.every(({ properties }) => properties?.[name]?.const !== undefined)
  )!;
  const names = alternatives.map(({ properties }) => properties![key].const);
  return {
    type: "object",
    properties: { [key]: { ...first.properties![key], const: undefined, enum: names } },
    required: [key],
    allOf: alternatives.map((alternative) => ({
      if: {
        properties: { [key]: { const: alternative.properties![key].const } },
        required: [key],
      },
      then: alternative,
    })),
  };
}

/** A schema whose parts are changed. */
function mapParts(schema: JsonSchema, change: (part: JsonSchema) => JsonSchema): JsonSchema {
  const { properties, items, anyOf, oneOf, additionalProperties } = schema;
  return {
    ...schema,
    ...(properties
      ? {
        properties: Object.fromEntries(
          Object.entries(properties).map(([key, part]) => [key, change(part)]),
        ),
      }
      : {}),
    ...(items ? { items: Array.isArray(items) ? items.map(change) : change(items) } : {}),
    ...(anyOf ? { anyOf: anyOf.map(change) } : {}),
    ...(oneOf ? { oneOf: oneOf.map(change) } : {}),
    ...(typeof additionalProperties === "object"
      ? { additionalProperties: change(additionalProperties) }
      : {}),
  };
}

/**
 * The config's input types with their docs, of its JSON Schema.
 *
 * @module
 */
import type { JsonSchema } from "./config_schema.ts";

/** Path of the module with the types, from the project's root. */
export const TYPES_PATH = "src/config/input.ts";

/** Longest line of a comment. */
const WIDTH = 100;

const HEAD = `/**
 * The config as a program writes it: made of the schemas by \`deno task make:config\`.
 *
 * @module
 */
import type { TransformInput } from "../data/transforms/transform_specs.ts";
`;

/** The text of the module, but for its layout. */
export function inputTypes(schema: JsonSchema): string {
  const declared: string[] = [];
  declare("ConfigInput", schema, "A config as it may be written.", declared);
  return [HEAD, ...declared].join("\n");
}

/** Declares the type of a mapping, before those of its parts. */
function declare(name: string, schema: JsonSchema, doc: string, declared: string[]): void {
  const at = declared.push("") - 1;
  declared[at] = `${comment(doc)}export interface ${name} {\n${members(schema, declared)}}\n`;
}

/** The keys of a mapping. */
function members({ properties, required = [] }: JsonSchema, declared: string[]): string {
  return Object.entries(properties ?? {}).map(([key, part]) => {
    const type = typeOf(part, { key, doc: part.description ?? "", declared });
    const isRequired = required.includes(key);
    const initial = part.default === undefined ? "" : ` Default: \`${shown(part.default)}\`.`;
    return comment(`${part.description}${initial}`) +
      `${key}${isRequired ? "" : "?"}: ${type}${isRequired ? "" : " | undefined"};\n`;
  }).join("");
}

/** The place of a type: the key that has it, and its doc. */
interface Place {
  readonly key: string;
  readonly doc: string;
  readonly declared: string[];
}

/** The type of a value; mappings get a declaration each. */
function typeOf(schema: JsonSchema, place: Place): string {
  if (schema.named !== undefined) return "TransformInput";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.oneOf) return choice(schema.oneOf, place);
  if (schema.anyOf) {
    const parts = schema.anyOf.flatMap((part) => part.anyOf ?? [part]);
    return [...new Set(parts.map((part) => typeOf(part, place)))].join(" | ");
  }
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => typeOf({ ...schema, type }, place)).join(" | ");
  }
  switch (schema.type) {
    case "integer":
      return "number";
    case "array":
      return listOf(schema.items, place);
    case "object":
      return mapping(schema, place);
    case "number":
    case "string":
    case "boolean":
    case "null":
      return schema.type;
  }
  throw new Error(`No type for ${place.key}: ${JSON.stringify(schema)}`);
}

function listOf(items: JsonSchema["items"], place: Place): string {
  if (Array.isArray(items)) return `[${items.map((item) => typeOf(item, place)).join(", ")}]`;
  if (!items) throw new Error(`No type for the items of ${place.key}`);
  const type = typeOf(items, { ...place, key: place.key.replace(/s$/, "") });
  return / \| /.test(type) ? `(${type})[]` : `${type}[]`;
}

function mapping(schema: JsonSchema, { key, doc, declared }: Place): string {
  if (typeof schema.additionalProperties === "object") {
    const type = typeOf(schema.additionalProperties, { key, doc, declared });
    return `Record<string, ${type}>`;
  }
  const name = nameOf(key);
  declare(name, schema, doc, declared);
  return name;
}

/** A choice between mappings: what all have is a type of its own. */
function choice(alternatives: JsonSchema[], { key, doc, declared }: Place): string {
  const name = nameOf(key);
  const [first, ...others] = alternatives;
  const common = Object.keys(first.properties!).filter((each) =>
    others.every(({ properties }) =>
      JSON.stringify(properties![each]) === JSON.stringify(first.properties![each])
    )
  );
  const timing = `${name.replace(/Input$/, "")}Timing`;
  declare(
    timing,
    only(first, (each) => common.includes(each)),
    `Keys that every ${key} has.`,
    declared,
  );
  const variants = alternatives.map((alternative) => {
    const own = only(alternative, (each) => !common.includes(each));
    return `| (${timing} & {\n${members(own, declared)}})`;
  });
  declared.push(`${comment(doc)}export type ${name} =\n${variants.join("\n")};\n`);
  return name;
}

/** A mapping with some of its keys. */
function only(schema: JsonSchema, isKept: (key: string) => boolean): JsonSchema {
  const entries = Object.entries(schema.properties!).filter(([key]) => isKept(key));
  return { ...schema, properties: Object.fromEntries(entries) };
}

function nameOf(key: string): string {
  return `${key[0].toUpperCase()}${key.slice(1)}Input`;
}

/** A default as a program writes it. */
function shown(value: unknown): string {
  if (value === 1 / 3) return "1/3";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A doc comment in lines that fit. */
function comment(text: string): string {
  if (text.length < WIDTH - 10) return `/** ${text} */\n`;
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length > WIDTH - 6) lines.push(` ${word}`);
    else lines[lines.length - 1] = line;
  }
  return `/**\n${lines.map((line) => ` *${line}\n`).join("")} */\n`;
}

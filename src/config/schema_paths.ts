/**
 * The facts about a key, read from the config's JSON Schema.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { configSchema } from "./schema.ts";

/** A node of the JSON Schema: one alternative of what a key takes. */
export type SchemaNode = Record<string, unknown>;

let root: SchemaNode | undefined;

/** The alternatives for the whole config. */
export function rootNodes(): SchemaNode[] {
  root ??= z.toJSONSchema(configSchema, { io: "input", unrepresentable: "any" }) as SchemaNode;
  return [root];
}

/** The alternatives for a key or a position in a list, below the alternatives `nodes`. */
export function childNodes(nodes: readonly SchemaNode[], step: string | number): SchemaNode[] {
  return nodes.flatMap((node) => {
    const isPosition = /^\d+$/.test(String(step));
    const next = isPosition && isNode(node.items) ? node.items : propertyOf(node, String(step));
    return isNode(next) ? alternatives(next) : [];
  });
}

/** The alternatives for a path; none where the schema has no such key. */
export function nodesAt(path: readonly (string | number)[]): SchemaNode[] {
  return path.reduce<SchemaNode[]>((nodes, step) => childNodes(nodes, step), rootNodes());
}

/** The names of the keys below some alternatives. */
export function keysOf(nodes: readonly SchemaNode[]): string[] {
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** The key whose value decides between several mappings, such as the `name` of a schedule; nothing for all others. */
export function discriminatorOf(nodes: readonly SchemaNode[]): string | undefined {
  const [first, ...others] = nodes.filter(({ properties }) => isNode(properties));
  if (!first || others.length === 0) return undefined;
  return keysOf([first]).find((key) =>
    [first, ...others].every((node) => onlyValue(node, key) !== undefined)
  );
}

/** The values of the discriminator of several mappings. */
export function choicesIn(nodes: readonly SchemaNode[]): string[] {
  const key = discriminatorOf(nodes);
  return key === undefined
    ? []
    : nodes.flatMap((node) => onlyValue(node, key) ?? []).map((value) => String(value));
}

/** The mapping that a discriminator's value decides for. */
export function alternativeOf(
  nodes: readonly SchemaNode[],
  discriminator: string,
  value: unknown,
): SchemaNode | undefined {
  return nodes.find((node) => value !== undefined && onlyValue(node, discriminator) === value);
}

/** The one value that a key of a mapping may have. */
function onlyValue(node: SchemaNode, key: string): unknown {
  const property = propertyOf(node, key);
  return isNode(property) ? property.const : undefined;
}

/** Tells whether a key takes free text and nothing else, but for `null`. */
export function takesText(nodes: readonly SchemaNode[]): boolean {
  const values = nodes.filter(({ type }) => type !== "null");
  return values.length > 0 &&
    values.every(({ type, enum: names, const: only }) =>
      type === "string" && names === undefined && only === undefined
    );
}

/**
 * Tells whether a key's value is a mapping whose keys are names that the schema doesn't know, such as those of
 * classes.
 */
export function takesNames(nodes: readonly SchemaNode[]): boolean {
  return nodes.some(({ additionalProperties }) => isNode(additionalProperties));
}

/** Tells whether a key's value is a list. */
export function takesList(nodes: readonly SchemaNode[]): boolean {
  return nodes.some(({ type }) => type === "array");
}

/** Returns the kind of a named thing (`{ Name: arguments }`), such as `transform`; nothing for all other values. */
export function kindOfNamed(nodes: readonly SchemaNode[]): string | undefined {
  const [kind] = nodes.flatMap(({ named }) => typeof named === "string" ? [named] : []);
  return kind;
}

/** Tells whether a key may be left out. */
export function isOptional(path: readonly (string | number)[]): boolean {
  const last = path.at(-1);
  if (typeof last !== "string") return false;
  const holders = nodesAt(path.slice(0, -1)).filter((node) => propertyOf(node, last) !== undefined);
  return holders.some(({ required }) => !((required ?? []) as string[]).includes(last));
}

/** Tells whether `null` is a value of its own for a key. */
export function takesNull(nodes: readonly SchemaNode[]): boolean {
  return nodes.some(({ type }) => type === "null");
}

function propertyOf({ properties, additionalProperties }: SchemaNode, name: string): unknown {
  if (isNode(properties) && Object.hasOwn(properties, name)) return properties[name];
  return isNode(additionalProperties) ? additionalProperties : undefined;
}

function alternatives(node: SchemaNode): SchemaNode[] {
  const branches = (node.anyOf ?? node.oneOf) as SchemaNode[] | undefined;
  return branches ? branches.flatMap(alternatives) : [node];
}

function isNode(value: unknown): value is SchemaNode {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

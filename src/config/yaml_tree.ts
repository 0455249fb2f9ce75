/**
 * YAML as a tree of values, with text as it is written: `name: 2024` is the text "2024" where the schema asks for text,
 * and keys such as `01`, `1e3`, `null` and `0x10` are names, not numbers.
 *
 * @module
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseDocument,
} from "../deps/yaml.ts";
import type { Document, LineCounter, Scalar } from "../deps/yaml.ts";
import { childNodes, type SchemaNode, takesText } from "./schema_paths.ts";

/** Aliases that a YAML file may expand to: enough for people, too few for a "billion laughs" file. */
const MAX_ALIASES = 100;

/** The spellings of a missing value in YAML. */
const NULLS = new Set(["", "~", "null", "Null", "NULL"]);

/** Parses YAML; keys are compared as they are written. */
export function parseYaml(text: string, lineCounter?: LineCounter): Document.Parsed {
  return parseDocument(text, {
    ...(lineCounter ? { lineCounter } : {}),
    uniqueKeys: (a, b) =>
      a === b || (isScalar(a) && isScalar(b) && textOf(a) === textOf(b) && textOf(a) !== "<<"),
  });
}

/**
 * The values of a document.
 *
 * @param nodes What the schema says about them
 * @throws {Error} when aliases expand to too many nodes, or a key has no space behind its colon
 */
export function yamlValues(document: Document.Parsed, nodes: readonly SchemaNode[]): unknown {
  keepText(document.contents, nodes);
  return document.toJS({ maxAliasCount: MAX_ALIASES });
}

/** Gives scalars that are names or text the value that is written. */
function keepText(node: ParsedNode | Node | null, schema: readonly SchemaNode[]): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (isScalar(key)) key.value = textOf(key);
      if (value === null && isScalar(key)) requireSpace(key);
      const name = isScalar(key) ? textOf(key) : "";
      keepText(value as Node | null, childNodes(schema, name));
    }
  } else if (isSeq(node)) {
    for (const item of node.items) keepText(item as Node | null, childNodes(schema, 0));
  } else if (isScalar(node) && !isAlias(node) && takesText(schema)) {
    const text = textOf(node);
    if (node.type !== "PLAIN" || !NULLS.has(text)) node.value = text;
  }
}

/** Refuses `{a:1}`: in YAML that is the name `a:1` without a value. */
function requireSpace(key: Scalar): void {
  const [written, name, value] = /^([^:]+):([^:\s].*)$/s.exec(textOf(key)) ?? [];
  if (written === undefined || key.type !== "PLAIN") return;
  throw new Error(
    `YAML takes "${written}" as a name without a value: write a space behind the colon, { ${name}: ${value} }`,
  );
}

/** A scalar as it is written, without its quotes. */
function textOf({ source, value }: Scalar): string {
  return source ?? String(value);
}

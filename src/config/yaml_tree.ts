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
  YAMLParseError,
} from "../deps/yaml.ts";
import type { Alias, Document, LineCounter, Scalar } from "../deps/yaml.ts";
import { MAX_DEPTH } from "./tree.ts";
import { childNodes, type SchemaNode, takesText } from "./schema_paths.ts";

/** Aliases that a YAML file may expand to: enough for people, too few for a "billion laughs" file. */
const MAX_ALIASES = 100;

const TOO_DEEP = `it is nested deeper than ${MAX_DEPTH} levels`;

/** The spellings of a missing value in YAML. */
const NULLS = new Set(["", "~", "null", "Null", "NULL"]);

/**
 * Parses YAML; keys are compared as they are written. Tags of values that no config has, such as `!!binary` and `!!set`,
 * are errors of the document.
 */
export function parseYaml(text: string, lineCounter?: LineCounter): Document.Parsed {
  const document = parseDocument(text, {
    ...(lineCounter ? { lineCounter } : {}),
    resolveKnownTags: false,
    logLevel: "error",
    uniqueKeys: (a, b) =>
      a === b || (isScalar(a) && isScalar(b) && textOf(a) === textOf(b) && textOf(a) !== "<<"),
  });
  for (const { pos, code, message } of document.warnings) {
    if (code !== "TAG_RESOLVE_FAILED") continue;
    const reason = `${message.split("\n")[0]}: a config has plain values alone`;
    document.errors.push(new YAMLParseError(pos, code, reason));
  }
  for (const error of document.errors) {
    if (error.code === "RESOURCE_EXHAUSTION") error.message = TOO_DEEP;
  }
  return document;
}

/**
 * The values of a document.
 *
 * @param nodes What the schema says about them
 * @throws {Error} when aliases expand to too many nodes or without an end, it is nested too deep, or a key is no name or
 * has no space behind its colon
 */
export function yamlValues(document: Document.Parsed, nodes: readonly SchemaNode[]): unknown {
  new TextKeeper(document).keep(document.contents, nodes);
  return document.toJS({ maxAliasCount: MAX_ALIASES });
}

/** Gives scalars that are names or text the value that is written, and refuses what no config has. */
class TextKeeper {
  readonly #document: Document.Parsed;
  /** The nodes that the present one lies in. */
  readonly #holders: unknown[] = [];

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  /**
   * Walks a node and what is in it.
   *
   * @throws {Error} as {@linkcode yamlValues}
   */
  keep(node: ParsedNode | Node | null, schema: readonly SchemaNode[]): void {
    if (isScalar(node)) return keepScalar(node, schema);
    if (isAlias(node)) this.#requireKnown(node);
    if (!isMap(node) && !isSeq(node)) return;
    if (this.#holders.push(node) > MAX_DEPTH) throw new Error(TOO_DEEP);
    if (isSeq(node)) {
      for (const item of node.items) this.keep(item as Node | null, childNodes(schema, 0));
    } else {
      for (const { key, value } of node.items) {
        if (!isScalar(key)) throw new Error("a key is a name, not a mapping, a list or an alias");
        const name = textOf(key);
        key.value = name;
        if (value === null) requireSpace(key);
        this.keep(value as Node | null, childNodes(schema, name));
      }
    }
    this.#holders.pop();
  }

  #requireKnown(alias: Alias): void {
    const value = alias.resolve(this.#document);
    const fault = !value
      ? "has no anchor before it"
      : this.#holders.includes(value)
      ? "stands within the value that it stands for"
      : undefined;
    if (fault) throw new Error(`the alias *${alias.source} ${fault}`);
  }
}

function keepScalar(node: Scalar, schema: readonly SchemaNode[]): void {
  if (!takesText(schema)) return;
  const text = textOf(node);
  if (node.type !== "PLAIN" || !NULLS.has(text)) node.value = text;
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

/**
 * JSON in pieces of bounded length: one string of a large tree could be longer than a string may be.
 *
 * @module
 */

/** Length at which a piece is handed out, in characters. */
const PIECE = 64 * 1024;
/** Levels that are broken into lines; what lies deeper stays on one. */
const LEVELS = 2;
const encoder = new TextEncoder();

/**
 * A tree as indented JSON, whose third level and all below stand on one line: a line per item of a list, so that
 * the files of long runs are half as long as with `JSON.stringify(tree, undefined, 2)`.
 *
 * @param tree As for `JSON.stringify`: NaN becomes `null`, undefined properties are left out
 */
export function* jsonPieces(tree: unknown): Generator<Uint8Array> {
  let text = "";
  for (const part of partsOf(tree, 0)) {
    text += part;
    if (text.length < PIECE) continue;
    yield encoder.encode(text);
    text = "";
  }
  yield encoder.encode(text + "\n");
}

/** The same as one string, for trees that are known to be small, or are printed. */
export function jsonText(tree: unknown): string {
  return [...partsOf(tree, 0)].join("");
}

function* partsOf(value: unknown, level: number): Generator<string> {
  const isTree = typeof value === "object" && value !== null;
  if (!isTree || level >= LEVELS) return yield JSON.stringify(value) ?? "null";
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value)
    ? value.entries()
    : Object.entries(value).filter(([, each]) => each !== undefined);
  const indent = "\n" + "  ".repeat(level + 1);
  let empty = true;
  for (const [key, each] of entries) {
    yield empty ? open + indent : "," + indent;
    if (typeof key === "string") yield JSON.stringify(key) + ": ";
    yield* partsOf(each, level + 1);
    empty = false;
  }
  yield empty ? open + close : "\n" + "  ".repeat(level) + close;
}

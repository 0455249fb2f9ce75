/**
 * JSON in pieces of bounded length, since the JSON of a large tree may exceed V8's maximum string length.
 *
 * @module
 */

/** Length in characters at which a piece is emitted. */
const PIECE = 64 * 1024;
/** Levels with line breaks; deeper levels stay on one line. */
const LEVELS = 2;
const encoder = new TextEncoder();

/**
 * Returns a tree as indented JSON with line breaks in the first two levels only. A list item takes one line, so
 * that the files of long runs are half as long as with `JSON.stringify(tree, undefined, 2)`.
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

/** The same as one string, for trees that are small or are printed. */
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

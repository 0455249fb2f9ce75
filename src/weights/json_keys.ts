/**
 * The facts that `JSON.parse` doesn't report: the depth of a text's nesting, and keys that are given twice.
 *
 * @module
 */

const QUOTE = 0x22, BACKSLASH = 0x5c, COLON = 0x3a;
const OPEN_BRACE = 0x7b, CLOSE_BRACE = 0x7d, OPEN_BRACKET = 0x5b, CLOSE_BRACKET = 0x5d;

/**
 * Walks a JSON text once, without recursion and before anything is built from it.
 *
 * The text's syntax is left to `JSON.parse`.
 *
 * @returns The keys of the outermost object in their order (an object puts keys that look like integers first)
 * @throws {Error} when the text is nested deeper than `maxDepth`, or any object has a key twice
 */
export function scanObjectKeys(text: string, maxDepth: number): string[] {
  const outermost: string[] = [];
  const keysAt: Set<string>[] = []; // of the objects that the walk is inside of
  let lastString = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const end = endOfString(text, i);
      lastString = text.slice(i, end);
      i = end - 1;
    } else if (code === COLON) {
      const key = String(JSON.parse(lastString || "null"));
      const keys = keysAt.at(-1);
      if (keys?.has(key)) throw new Error(`it gives ${JSON.stringify(key)} twice`);
      keys?.add(key);
      if (keysAt.length === 1) outermost.push(key);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      keysAt.push(new Set());
      if (keysAt.length > maxDepth) throw new Error(`its JSON is nested deeper than ${maxDepth}`);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      keysAt.pop();
    }
  }
  return outermost;
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === BACKSLASH) i++;
    else if (code === QUOTE) return i + 1;
  }
  throw new Error("its JSON ends inside a string");
}

/**
 * Names of files as text that can be shown anywhere.
 *
 * @module
 */

/** Control characters, separators of lines and paragraphs, and what turns the direction of writing. */
// deno-lint-ignore no-control-regex -- control characters are what is replaced
const HIDDEN = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A text with what doesn't show written as an escape, such as `\n` or `\x1b`: a file's name must neither move the
 * cursor nor break a line, and two names must not look the same.
 */
export function visible(text: string): string {
  return text.toWellFormed().replace(HIDDEN, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return SHORT[character] ??
      (code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`);
  });
}

/** A path as {@linkcode visible} text, in quotes where a name begins or ends with a space, which nobody would see. */
export function visiblePath(path: string): string {
  const shown = visible(path);
  return /(^|\/)\s|\s(\/|$)/.test(shown) ? `"${shown}"` : shown;
}

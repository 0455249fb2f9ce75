/**
 * Text from outside (names of files and classes, config keys, messages of programs) made safe to show anywhere.
 *
 * @module
 */

/**
 * Characters that don't show: controls (C0, DEL, C1), separators of lines and paragraphs, marks that turn the direction
 * of writing, and what has no width, but for the joiners that emoji and some scripts are written with.
 */
const HIDDEN =
  // deno-lint-ignore no-control-regex -- control characters are what is replaced
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f\p{Script=Arabic}\p{Script=Syriac}\p{M}])[\u200c\u200d]|\u{e0001}/gu;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Most characters of a line that is shown, and what of them stand at its end, where messages name the cure. */
export const MAX_LINE = 2_000;
const KEPT_END = 600;

/** Most lines of a message. */
const MAX_LINES = 200;

/**
 * A text with what doesn't show written as an escape, such as `\n` or `\x1b`: a file's name must neither move the
 * cursor nor break a line, and two names must not look the same.
 */
export function visible(text: string): string {
  return text.toWellFormed().replace(HIDDEN, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    if (code.length > 4) return `\\u{${code}}`;
    return SHORT[character] ??
      (code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`);
  });
}

/** JavaScript whose value is {@linkcode visible}: for scripts of pages. */
export function visibleSource(): string {
  return `((HIDDEN, SHORT) => ${visible})(${HIDDEN}, ${JSON.stringify(SHORT)})`;
}

/** As {@linkcode visible}, with tabs and line breaks left as they are: for text that is shown as it is laid out. */
export function visibleBlock(text: string): string {
  return text.replace(/[^\t\n\r]+/g, visible);
}

/** A path as {@linkcode visible} text, in quotes where a name begins or ends with a space, which nobody would see. */
export function visiblePath(path: string): string {
  const shown = visible(path);
  return /(^|\/)\s|\s(\/|$)/.test(shown) ? `"${shown}"` : shown;
}

/**
 * A message of one line or several as {@linkcode visible} lines, each of at most {@linkcode MAX_LINE} characters. Lines
 * behind the first are indented, so that a line break in a name can't begin a line that looks like one of the program's.
 */
export function visibleMessage(message: string): string {
  const lines = message.replace(/[ \t\r\n]+$/, "").split(/\r?\n/);
  const shown = lines.slice(0, MAX_LINES).map((line, index) => {
    const text = cutLine(visible(line.replaceAll("\t", "  ")));
    return index === 0 || /^\s|^$/.test(text) ? text : `  ${text}`;
  });
  const left = lines.length - shown.length;
  return [...shown, ...(left > 0 ? [`  … and ${left} more lines`] : [])].join("\n");
}

/** A line of at most {@linkcode MAX_LINE} characters; what is left out of its middle is counted. */
export function cutLine(line: string): string {
  if (line.length <= MAX_LINE) return line;
  const note = (left: number) => ` … (${left} characters left out) … `;
  const head = MAX_LINE - KEPT_END - note(line.length).length;
  const left = line.length - head - KEPT_END;
  return `${line.slice(0, head)}${note(left)}${line.slice(-KEPT_END)}`.toWellFormed();
}

/** A value as a line of {@linkcode escapeJson}. */
export function visibleJson(value: unknown): string {
  return escapeJson(JSON.stringify(value));
}

/** JSON with all that doesn't show written as `\u`: it parses to the same value, and can be printed. */
export function escapeJson(json: string): string {
  return json.replace(HIDDEN, (character) => {
    if (character === "\n") return character; // of the indentation: within strings it is escaped already
    return Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`,
    ).join("");
  });
}

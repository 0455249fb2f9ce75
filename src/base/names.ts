/**
 * Conversion between names that users choose and file names.
 *
 * @module
 */
import { visible } from "./visible_text.ts";

/** Maximum length of a name in characters. */
export const MAX_NAME = 80;

/** Maximum bytes of a file name made of another name; with its prefix and suffix it fits into any file system. */
const MAX_FILE_BYTES = 120;

/**
 * Tells whether a name can be displayed unchanged: not empty, not too long, no blanks around it, no invisible
 * characters.
 */
export function isShownName(name: string): boolean {
  return name !== "" && name === name.trim() && [...name].length <= MAX_NAME &&
    visible(name) === name;
}

/**
 * Returns a text as a name of at most {@linkcode MAX_NAME} characters; `undefined` when no visible character is
 * left.
 */
export function shownName(text: string): string | undefined {
  // Each character is tested alone: joiners of emoji need their neighbours, and a name can do without them.
  const shown = [...text.toWellFormed()].map((one) => visible(one) === one ? one : " ").join("");
  const name = [...shown.replace(/\s+/g, " ").trim()].slice(0, MAX_NAME).join("").trim();
  return name === "" ? undefined : name;
}

/**
 * Converts any name to a file name: letters and digits of all scripts, `.`, `-` and `_` stay, and everything else
 * becomes `-`.
 *
 * @param fallback The result when no character is left
 */
export function fileName(text: string, fallback: string): string {
  const safe = text.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "-");
  const name = /^[\w.-]+$/.test(text) ? text : safe.replace(/^-+|-+$/g, "");
  let [bytes, cut] = [0, ""];
  for (const character of name) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > MAX_FILE_BYTES) break;
    cut += character;
  }
  return /[\p{L}\p{N}_]/u.test(cut) ? cut : fallback;
}

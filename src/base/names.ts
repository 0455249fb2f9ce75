/**
 * Names that people give and names of files, each made of the other.
 *
 * @module
 */
import { visible } from "./visible_text.ts";

/** Characters of a name, at most. */
export const MAX_NAME = 80;

/** Bytes of a file's name that is made of another name: with what stands around it, it fits into any file system. */
const MAX_FILE_BYTES = 120;

/**
 * Tells whether a name can be shown as it is: not empty, not too long, no blanks around it, no invisible characters.
 */
export function isShownName(name: string): boolean {
  return name !== "" && name === name.trim() && [...name].length <= MAX_NAME &&
    visible(name) === name;
}

/** Returns a text as a name of at most {@linkcode MAX_NAME} characters; nothing where none of it can be shown. */
export function shownName(text: string): string | undefined {
  // Each character by itself: joiners of emoji need their neighbours, and a name can do without them.
  const shown = [...text.toWellFormed()].map((one) => visible(one) === one ? one : " ").join("");
  const name = [...shown.replace(/\s+/g, " ").trim()].slice(0, MAX_NAME).join("").trim();
  return name === "" ? undefined : name;
}

/**
 * Returns a file's name made of any other: letters and digits of all scripts, `.`, `-` and `_`; everything else becomes
 * `-`.
 *
 * @param fallback Where nothing is left
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

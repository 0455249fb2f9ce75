/**
 * Checks that the messages which a page quotes are those of the program.
 *
 * A quoted message is a paragraph whose lines begin with `> `; `…` stands for what differs from case to case.
 *
 * @module
 */
import { filesBelow } from "./files.ts";
import { join } from "node:path/posix";

/** Characters of a message that a `…` may stand for in the source, where it is an expression. */
const MAX_GAP = 400;

/** Returns the quoted messages of a page that no source file has, each with its line. */
export function unknownMessages(page: string, sources: readonly string[]): string[] {
  const texts = sources.map(joinedStrings);
  const quotes = page.matchAll(/^> .*(\n> .*)*/gm);
  return [...quotes].flatMap(({ 0: quote, index }) => {
    const message = quote.slice(2).replaceAll("\n> ", " ");
    const line = page.slice(0, index).split("\n").length;
    const parts = message.split("…").map((part) => part.trim()).filter((part) => part.length > 0);
    const pattern = new RegExp(parts.map(escaped).join(`[^]{0,${MAX_GAP}}?`));
    if (parts.length > 0 && texts.some((text) => pattern.test(text))) return [];
    return [`${line}: no message of the program is "${message}"`];
  });
}

/** A source in which strings that are added up stand as one. */
function joinedStrings(source: string): string {
  return source.replaceAll(/["'`]\s*\+\s*["'`]/g, "").replaceAll('\\"', '"');
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Returns the text of all modules below a folder. */
export async function readSources(folder: string): Promise<string[]> {
  const folders = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const files = await filesBelow(folder, folders, /\.ts$/);
  return await Promise.all(files.map((file) => Deno.readTextFile(join(folder, file))));
}

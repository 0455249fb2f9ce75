/**
 * SHA-256 of many files.
 *
 * @module
 */
import { readRegularFile } from "../../base/regular_file.ts";

const FILES_AT_ONCE = 8;

/** Returns a file's SHA-256; nothing where it can't be read, which its reading will say in time. */
export async function digestOf(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    // On a thread of its own, so that several files are hashed at a time.
    return new Uint8Array(await crypto.subtle.digest("SHA-256", await readRegularFile(path)));
  } catch {
    return undefined;
  }
}

/** Runs `action` for each item, for some items at a time. */
export async function forEachAtOnce<Item>(
  items: Iterable<Item>,
  action: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator](); // shared: each item is taken once
  let next = 0;
  const work = async () => {
    for (let item = iterator.next(); !item.done; item = iterator.next()) {
      await action(item.value, next++);
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
}

/**
 * Finds classes by name, among any number of them.
 *
 * @module
 */
import { listedInQuotes } from "../base/listing.ts";

/** Labels by the classes' names. */
export function labelsByName(classes: readonly string[]): ReadonlyMap<string, number> {
  return new Map(classes.map((name, label) => [name, label] as const).reverse());
}

/**
 * Gives the name of the class that a folder stands for, else the folder's own. macOS writes accents as letters of their
 * own (NFD), other systems as one with its letter (NFC).
 */
export function classMatcher(classes: readonly string[]): (folder: string) => string {
  const exact = new Set(classes);
  const normal = new Map(classes.map((name) => [name.normalize(), name] as const).reverse());
  return (folder) => exact.has(folder) ? folder : normal.get(folder.normalize()) ?? folder;
}

/**
 * Describes how the classes of a checkpoint differ from the data's, as a part of a sentence: among thousands
 * maybe by one.
 *
 * @returns An empty text where the classes are the same in the same order
 */
export function differentClasses(saved: readonly string[], present: readonly string[]): string {
  const at = saved.findIndex((name, index) => name !== present[index]);
  if (at < 0 && saved.length === present.length) return "";
  const only = (some: readonly string[], others: readonly string[]) => {
    const known = new Set(others);
    return some.filter((name) => !known.has(name));
  };
  const [lost, added] = [only(saved, present), only(present, saved)];
  const parts = [
    lost.length > 0 ? `only it has ${listedInQuotes(lost)}` : "",
    added.length > 0 ? `only the data have ${listedInQuotes(added)}` : "",
    lost.length + added.length === 0 ? "their order is another" : "",
  ];
  return `its ${saved.length} classes are not the ${present.length} of the data: ` +
    parts.filter((part) => part !== "").join(", ");
}

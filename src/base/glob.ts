/**
 * Name patterns, such as `layer4.*`.
 *
 * @module
 */

/** A predicate for names: `*` matches any characters, dots included; all others match themselves. */
export function globTest(pattern: string): (name: string) => boolean {
  const escaped = pattern.split("*").map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, "\\$&"));
  const expression = new RegExp(`^${escaped.join(".*")}$`, "s");
  return (name) => expression.test(name);
}

/** Returns the patterns that match no name. */
export function unmatchedPatterns(
  patterns: readonly string[],
  names: readonly string[],
): string[] {
  return patterns.filter((pattern) => !names.some(globTest(pattern)));
}

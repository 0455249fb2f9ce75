/**
 * Patterns over names, such as `layer4.*`.
 *
 * @module
 */

/** A test for names: `*` stands for any characters, dots too; all others for themselves. */
export function globTest(pattern: string): (name: string) => boolean {
  const escaped = pattern.split("*").map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, "\\$&"));
  const expression = new RegExp(`^${escaped.join(".*")}$`, "s");
  return (name) => expression.test(name);
}

/** The patterns that no name fits. */
export function unmatchedPatterns(
  patterns: readonly string[],
  names: readonly string[],
): string[] {
  return patterns.filter((pattern) => !names.some(globTest(pattern)));
}

/**
 * Shell commands for display, ready to be copied.
 *
 * @module
 */

/**
 * Returns an argument in the form of a single shell word: quoted unless it has only letters, digits and harmless
 * signs.
 */
export function shellWord(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}

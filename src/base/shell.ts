/**
 * Commands that are shown to people, ready to be copied into a shell.
 *
 * @module
 */

/** Returns an argument as a shell takes it as one: quoted where it has more than letters, digits and harmless signs. */
export function shellWord(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}

/**
 * Optional properties.
 *
 * @module
 */

/** Returns an object with one property, or an empty object when the value is undefined. */
export function given<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [Name in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [Name in Key]?: Value };
}

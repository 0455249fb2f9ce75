/**
 * Lists that are read by position.
 *
 * @module
 */

/**
 * Returns the item at a position.
 *
 * @throws {RangeError} when there is none
 */
export function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) {
    throw new RangeError(`There is no item ${index} in a list of ${items.length}`);
  }
  return item;
}

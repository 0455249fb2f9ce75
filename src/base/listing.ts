/**
 * Lists in messages: a line holds some names and the number of the others.
 *
 * @module
 */

/** Names that a message lists unless it says otherwise. */
const MAX_LISTED = 10;

/** Options of {@linkcode listed}. */
export interface ListingOptions {
  /** Names in the list at most (default 10). */
  readonly max?: number;
  /** Between two names (default a comma). */
  readonly separator?: string;
  /** The word behind the number of the others (default "more"). */
  readonly others?: string;
}

/** The first names, and how many more there are: `a, b and 3 more`. */
export function listed(
  names: readonly string[],
  { max = MAX_LISTED, separator = ", ", others = "more" }: ListingOptions = {},
): string {
  const more = names.length - max;
  return names.slice(0, max).join(separator) + (more > 0 ? ` and ${more} ${others}` : "");
}

/** As {@linkcode listed}, with each name in quotes and what it holds of controls visible. */
export function listedInQuotes(names: readonly string[], options: ListingOptions = {}): string {
  const { max = MAX_LISTED } = options;
  return listed(names.map((name, index) => index < max ? JSON.stringify(name) : ""), options);
}

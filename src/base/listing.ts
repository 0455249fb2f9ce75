/**
 * Lists in messages: some names and the number of the remaining ones.
 *
 * @module
 */

/** Default number of names in a list. */
const MAX_LISTED = 10;

/** Options of {@linkcode listed}. */
export interface ListingOptions {
  /** Maximum number of names in the list (default 10). */
  readonly max?: number;
  /** Separator between two names (default a comma). */
  readonly separator?: string;
  /** The word after the number of the remaining names (default "more"). */
  readonly others?: string;
}

/** The first names and the number of the remaining ones: `a, b and 3 more`. */
export function listed(
  names: readonly string[],
  { max = MAX_LISTED, separator = ", ", others = "more" }: ListingOptions = {},
): string {
  const more = names.length - max;
  return names.slice(0, max).join(separator) + (more > 0 ? ` and ${more} ${others}` : "");
}

/** {@linkcode listed} with each name in quotes and control characters escaped. */
export function listedInQuotes(names: readonly string[], options: ListingOptions = {}): string {
  const { max = MAX_LISTED } = options;
  return listed(names.map((name, index) => index < max ? JSON.stringify(name) : ""), options);
}

/**
 * A row of the table of cases: an input that once went wrong, and what must happen with it.
 *
 * @module
 */

/** An input, and a check that throws where the product does not do what it must. */
export interface Case {
  /** Short and unique, such as `orientation: XMP in a JPEG`. */
  readonly name: string;
  /** The expected outcome, in a sentence. */
  readonly must: string;
  /** Asserts it. */
  run(): Promise<void> | void;
}

/**
 * The choice of image files that a run's record keeps a hash of.
 *
 * @module
 */

/** `auto` are all files of a set that is small enough to be read in some seconds. */
export const FILE_HASHES = ["auto", "all", "none"] as const;

/** One of {@linkcode FILE_HASHES}. */
export type FileHashes = (typeof FILE_HASHES)[number];

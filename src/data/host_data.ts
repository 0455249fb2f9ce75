/**
 * The choices of how further hosts of a run get its image files.
 *
 * @module
 */

/** `copy`: each host has its own copy, or a shared folder; `fetch`: a host fetches them from the coordinator. */
export const HOST_DATA = ["copy", "fetch"] as const;

/** The facts by which a host's files are compared with the coordinator's, apart from their paths. */
export const HOST_DATA_CHECKS = ["sizes", "hashes"] as const;

/** One of {@linkcode HOST_DATA_CHECKS}. */
export type HostDataCheck = (typeof HOST_DATA_CHECKS)[number];

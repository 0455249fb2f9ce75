/**
 * The error of a picture's header.
 *
 * @module
 */

/** A picture's header is damaged or of a format that isn't supported; the message is the reason. */
export class HeaderError extends Error {}

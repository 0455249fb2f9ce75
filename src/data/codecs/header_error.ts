/**
 * The error of an image's header.
 *
 * @module
 */

/** An image's header is damaged or of a format that isn't supported; the message is the reason. */
export class HeaderError extends Error {}

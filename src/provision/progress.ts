/**
 * Progress events of a set-up.
 *
 * @module
 */

/** The progress of a part of the set-up. */
export interface ProgressEvent {
  /** The name of the file that is fetched, such as `nats-server 2.15.1`. */
  what: string;
  /** Bytes that are here. */
  bytes?: number;
  /** Bytes that there will be, where it is known. */
  totalBytes?: number;
  /** The activity when no bytes flow, such as `unpacking`. */
  note?: string;
}

/** Listens to a set-up, and may end it. */
export interface Progress {
  (event: ProgressEvent): void;
  /** Ends downloads and programs of the set-up, which fails with its reason; what is whole stays. */
  readonly signal?: AbortSignal | undefined;
}

/** A listener that ends the set-up when a signal fires. */
export function progressUntil(
  signal: AbortSignal | undefined,
  listen: (event: ProgressEvent) => void,
): Progress {
  return Object.assign((event: ProgressEvent) => listen(event), { signal });
}

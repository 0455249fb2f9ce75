/**
 * What a set-up tells while it works.
 *
 * @module
 */

/** How far a part of the set-up is. */
export interface ProgressEvent {
  /** What is fetched, such as `nats-server 2.15.1`. */
  what: string;
  /** Bytes that are here. */
  bytes?: number;
  /** Bytes that there will be, where it is known. */
  totalBytes?: number;
  /** What happens when no bytes flow, such as `unpacking`. */
  note?: string;
}

/** Listens to a set-up. */
export type Progress = (event: ProgressEvent) => void;

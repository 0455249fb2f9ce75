/**
 * Frames as a link sends them, to be sent otherwise than it does.
 *
 * @module
 */
import { MessageKey } from "../../src/protocol/authentication.ts";
import { encodeFrame, type Sign, type Verify } from "../../src/protocol/codec.ts";
import type { Link } from "../../src/protocol/link.ts";

/** A tag that nobody checks. */
export const unsigned: Sign = () => new Uint8Array(32);
/** A check that every tag passes. */
export const anyTag: Verify = () => true;

/** Returns the frame that a call of `publish` would send. */
export function frameOf(link: Link, publish: (link: Link) => void): Uint8Array {
  const frames: Uint8Array[] = [];
  link.publishFrame = (_, frame) => void frames.push(frame.slice());
  try {
    publish(link);
  } finally {
    delete (link as Partial<Link>).publishFrame; // that of the class shows again
  }
  return frames[0]!;
}

/** Returns a frame with any header, signed with a run's key for a subject. */
export function signedFrame(
  { key }: { readonly key: string },
  subject: string,
  header: object,
): Uint8Array {
  return encodeFrame(header, undefined, (bytes) => new MessageKey(key).sign(subject, bytes));
}

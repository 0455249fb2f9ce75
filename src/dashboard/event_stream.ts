/**
 * Server-sent events: a stream that is read at the reader's pace, so that nothing piles up for a slow one.
 *
 * @module
 */

import { maskedJson } from "../base/secrets.ts";

/** A message of the stream. */
export interface StreamMessage {
  readonly event: string;
  readonly data: unknown;
  /** Of the run that the data are of. */
  readonly config?: unknown;
  /** Comes back as `Last-Event-ID` when the reader connects again. */
  readonly id: string;
}

/** Settings of a stream. */
export interface StreamOptions {
  /** Milliseconds that a reader may leave the stream untouched while something waits for it. */
  readonly stallMs: number;
  /** Called once, however the stream ends. */
  readonly onEnd: () => void;
}

/** Milliseconds until a reader that lost the stream tries again. */
const RETRY_MS = 2_000;

/** A message as it stands in the stream; credentials of addresses are masked. */
export function encodeMessage({ event, data, config, id }: StreamMessage): string {
  // JSON has no line breaks outside strings, and escapes them within.
  return `event: ${event}\nid: ${id}\ndata: ${maskedJson(data, config)}\n\n`;
}

/** A comment that keeps the connection from looking dead. */
export const KEEP_ALIVE = ": still here\n\n";

/**
 * Makes the body of a response out of texts. A text is asked for only when the one before was taken; a reader that
 * doesn't take it is dropped.
 */
export function streamBody(
  texts: AsyncGenerator<string, void, void>,
  { stallMs, onEnd }: StreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  let stall: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const end = () => {
    clearTimeout(stall);
    if (ended) return;
    ended = true;
    void texts.return();
    onEnd();
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`)),
    async pull(controller) {
      clearTimeout(stall);
      const { done, value } = await texts.next();
      if (ended) return;
      if (done) {
        end();
        controller.close();
        return;
      }
      controller.enqueue(encoder.encode(value));
      stall = setTimeout(() => {
        // One that wakes up later finds the end of the stream, and begins again where it was.
        end();
        controller.close();
      }, stallMs);
    },
    cancel: end,
  }, { highWaterMark: 1 });
}

/**
 * Fetches one image over HTTP.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";

/** Bounds of {@linkcode fetchImage}. */
export interface FetchLimits {
  /** Largest file (default 50 MB). */
  readonly maxBytes?: number;
  /** Milliseconds that all of it may take (default 30 seconds). */
  readonly timeoutMs?: number;
  /** Ends the fetching. */
  readonly signal?: AbortSignal;
}

const MAX_BYTES = 50_000_000;
const TIMEOUT_MS = 30_000;

/** A URL as it may be shown: without user and password. */
export function shownUrl(url: string): string {
  const shown = new URL(url);
  shown.username = shown.password = "";
  return shown.href;
}

/**
 * Fetches an image's bytes. That they are an image is for the decoder to say, by their content.
 *
 * @param url http or https
 * @throws {Error} whose message is the reason, as the end of a sentence
 */
export async function fetchImage(
  url: string,
  { maxBytes = MAX_BYTES, timeoutMs = TIMEOUT_MS, signal }: FetchLimits = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const tooLarge = () => new Error(`the file is larger than ${maxBytes / 1e6} MB`);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    const response = await fetch(url, {
      headers: { accept: "image/*" },
      signal: anySignal(timeout, signal),
    });
    const problem = problemOf(response) ??
      (Number(response.headers.get("content-length")) > maxBytes ? tooLarge() : undefined);
    if (problem) {
      await response.body?.cancel();
      throw problem;
    }
    for await (const part of response.body ?? []) {
      bytes += part.length;
      if (bytes > maxBytes) throw tooLarge(); // leaving the loop ends the transfer
      parts.push(part);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw timeout.aborted
      ? new Error(`the server took longer than ${timeoutMs / 1000} s`)
      : networkError(error);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function problemOf({ ok, status, headers }: Response): Error | undefined {
  if (!ok) return new Error(`the server answered ${status}`);
  const [type] = (headers.get("content-type") ?? "").split(";");
  return type.startsWith("text/") ? new Error(`the server sent ${type}, not an image`) : undefined;
}

/** fetch() puts the address into its message, which the caller knows, and the network's own error behind it. */
function networkError(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  const message = error.message.replace(/^error sending request for url \([^)]*\)(: )?/, "");
  const cause = error.cause instanceof Error ? error.cause.message : "";
  const reason = (message || cause).replace(/^error sending request for url \([^)]*\)(: )?/, "");
  return new Error(`it can't be fetched${reason ? `: ${reason}` : ""}`, { cause: error });
}

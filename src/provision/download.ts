/**
 * Fetches one file over HTTP.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import { openRegularFile } from "../base/regular_file.ts";
import type { Progress } from "./progress.ts";

/** The time for which a server may send nothing, in milliseconds. */
const TIMEOUT_MS = 30_000;

/**
 * Fetches a file; what an earlier attempt left at `path` is gone on with. Nothing is checked: whoever knows the
 * file's hash has to.
 *
 * @param path File to write
 * @param what For people
 * @throws The reason of `progress.signal`, when that fires
 * @throws {Error} when the server can't be reached, refuses, stops in the middle, or sends nothing for 30 seconds
 */
export async function download(
  url: string,
  path: string,
  what: string,
  progress: Progress,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  progress.signal?.throwIfAborted();
  using file = await openRegularFile(path, { write: true, create: true });
  let bytes = await file.seek(0, Deno.SeekMode.End);
  const silence = new DownloadTimeout(timeoutMs);
  try {
    const headers: HeadersInit = bytes > 0 ? { range: `bytes=${bytes}-` } : {};
    const signal = anySignal(silence.signal, progress.signal);
    const response = await fetch(url, { headers, signal });
    const rangeIsOver = response.status === 416;
    if (rangeIsOver) return void await response.body?.cancel(); // all of it was here
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      throw new Error(`the server answered ${response.status}`);
    }
    if (response.status !== 206) {
      await file.truncate(0);
      bytes = await file.seek(0, Deno.SeekMode.Start);
    }
    const length = Number(response.headers.get("content-length"));
    const total = length > 0 ? { totalBytes: bytes + length } : {};
    for await (const part of response.body) {
      silence.restart();
      for (let offset = 0; offset < part.length;) offset += await file.write(part.subarray(offset));
      bytes += part.length;
      progress({ what, bytes, ...total });
    }
  } catch (error) {
    progress.signal?.throwIfAborted();
    throw silence.signal.aborted ? silence.signal.reason : withCause(error);
  } finally {
    silence.stop();
  }
}

/** Aborts when it is not restarted in time. */
class DownloadTimeout {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    const reason = new Error(`the server sent nothing for ${this.#timeoutMs / 1000} s`);
    this.#timer = setTimeout(() => this.#controller.abort(reason), this.#timeoutMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** fetch() says little itself; its cause has the network's error, behind the address that the caller knows. */
function withCause(error: unknown): unknown {
  if (!(error instanceof Error) || !(error.cause instanceof Error)) return error;
  const cause = error.cause.message.replace(/^error sending request for url \([^)]*\): /, "");
  return new Error(`${error.message}: ${cause}`, { cause: error });
}

/**
 * The coordinator's server of a data set's files.
 *
 * It serves the files of a manifest and nothing else: requests name rows, so there is no path that could lead elsewhere. A
 * file that has changed since the manifest was made is refused.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import { messageOf, reasonOf, UsageError } from "../../base/errors.ts";
import { openRegularFile } from "../../base/regular_file.ts";
import { z } from "../../deps/zod.ts";
import {
  encodeHead,
  FILES_PATH,
  type FileSource,
  type FilesRequest,
  filesRequestSchema,
  fileToken,
  HELLO_PATH,
} from "./file_source.ts";
import type { Manifest } from "./manifest.ts";

/** Bytes that are read at a time. */
const CHUNK_BYTES = 2 ** 18;
/** Bytes that are sent at a time, or more. */
const PIECE_BYTES = 2 ** 16;
/** Requests that are served at the same time; others are to come again. */
const MAX_REQUESTS = 64;
/** Bytes of a request's body: 1,024 rows and more. */
const MAX_REQUEST_BYTES = 2 ** 16;

/** Options of {@linkcode serveFiles}. */
export interface FileServerOptions {
  /** The folder that the manifest is of. */
  readonly root: string;
  /** The run's key, from which the token is derived. */
  readonly runKey: string;
  /** The address to listen on, and the port; any port unless given. */
  readonly listen: { readonly hostname: string; readonly port?: number };
  /** PEM; without it, the server speaks plain HTTP, which is for the loopback alone. */
  readonly tls?: {
    readonly certificate: string;
    readonly key: string;
    /** The only authority that clients are to trust: the certificate itself, where it is self-made. */
    readonly authority?: string;
    /** The name that the certificate is for, where addresses don't matter. */
    readonly serverName?: string;
  } | undefined;
}

/** A server of files. */
export interface FileServer extends AsyncDisposable {
  readonly port: number;
  /** Bytes of files that were sent. */
  readonly sentBytes: number;
  /** The server's address for hosts that reach this one by these names or addresses. */
  source(addresses: readonly string[]): FileSource;
}

/**
 * Serves the files of a manifest until it is disposed of.
 *
 * @throws {UsageError} when the port is taken, or plain HTTP would leave this machine
 */
export function serveFiles(
  manifest: Manifest,
  { root, runKey, listen: { hostname, port = 0 }, tls }: FileServerOptions,
): FileServer {
  if (!tls && !isLoopback(hostname)) {
    throw new UsageError(
      `The data set's files can't be served on ${hostname} without TLS: anybody in between could read and change ` +
        "them; leave TLS on, or set data.hosts to copy",
    );
  }
  const token = fileToken(runKey);
  const ended = new AbortController();
  const server = new RequestHandler(manifest, { root, token, signal: ended.signal });
  const http = listen(
    { hostname, port, tls, signal: ended.signal },
    (request) => server.answer(request),
  );
  const scheme = tls ? "https" : "http";
  return {
    port: http.addr.port,
    get sentBytes() {
      return server.sentBytes;
    },
    source: (addresses) => ({
      urls: addresses.map((address) =>
        `${scheme}://${address.includes(":") ? `[${address}]` : address}:${http.addr.port}`
      ),
      token,
      certificate: tls?.authority ?? null,
      serverName: tls?.serverName ?? null,
    }),
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await http.finished;
    },
  };
}

function listen(
  { hostname, port, tls, signal }: {
    hostname: string;
    port: number;
    tls: FileServerOptions["tls"];
    signal: AbortSignal;
  },
  handler: (request: Request) => Promise<Response>,
): Deno.HttpServer<Deno.NetAddr> {
  const options = {
    ...{ hostname, port, signal, onListen: () => {} },
    onError: () => new Response(null, { status: 500 }),
  };
  try {
    return tls
      ? Deno.serve({ ...options, cert: tls.certificate, key: tls.key }, handler)
      : Deno.serve(options, handler);
  } catch (error) {
    throw new UsageError(
      `The data set's files can't be served on ${hostname}:${port}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d+){3}$/.test(hostname);
}

/** Answers the requests of one server. */
class RequestHandler {
  sentBytes = 0;
  readonly #manifest: Manifest;
  readonly #root: string;
  readonly #authorization: Uint8Array;
  readonly #signal: AbortSignal;
  #requests = 0;

  constructor(
    manifest: Manifest,
    { root, token, signal }: { root: string; token: string; signal: AbortSignal },
  ) {
    this.#manifest = manifest;
    this.#root = root;
    this.#authorization = digest(`Bearer ${token}`);
    this.#signal = signal;
  }

  async answer(request: Request): Promise<Response> {
    const given = digest(request.headers.get("authorization") ?? "");
    if (!timingSafeEqual(given, this.#authorization)) return failure(401, "another token");
    const { pathname } = new URL(request.url);
    if (pathname === HELLO_PATH && request.method === "GET") {
      return new Response(this.#manifest.content);
    }
    if (pathname !== FILES_PATH) return failure(404, "nothing has this path");
    if (request.method !== "POST") return failure(405, "files are asked for by POST");
    if (this.#requests >= MAX_REQUESTS) return failure(503, "too many requests at a time");
    const asked = await readRequest(request);
    if (typeof asked === "string") return failure(400, asked);
    if (asked.content !== this.#manifest.content) return failure(409, "another list of files");
    const { length } = this.#manifest.table;
    if (asked.rows.some((row) => row >= length)) return failure(400, "there is no such file");
    const headers = { "content-type": "application/octet-stream", "cache-control": "no-store" };
    return new Response(this.#stream(asked), { headers });
  }

  #stream(asked: FilesRequest): ReadableStream<Uint8Array<ArrayBuffer>> {
    const frames = inLargePieces(this.#frames(asked));
    this.#requests++;
    let isOver = false;
    const end = async () => {
      if (!isOver) this.#requests--;
      isOver = true;
      await frames.return(); // closes the file
    };
    return new ReadableStream({
      pull: async (controller) => {
        try {
          if (this.#signal.aborted) throw this.#signal.reason;
          const { value, done } = await frames.next();
          if (!done) return controller.enqueue(value);
          await end();
          controller.close();
        } catch (error) {
          await end();
          controller.error(error); // the connection breaks, and the client comes again
        }
      },
      cancel: end,
    });
  }

  async *#frames({ rows, from }: FilesRequest): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    for (const [at, row] of rows.entries()) yield* this.#file(row, at === 0 ? from : 0);
  }

  /** The frame of one file. */
  async *#file(row: number, from: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    const path = join(this.#root, this.#manifest.table.path(row));
    let file: Deno.FsFile;
    try {
      file = await openRegularFile(path);
    } catch (error) {
      return yield refusal(row, `it can't be read: ${reasonOf(error)}`);
    }
    try {
      const size = this.#manifest.table.bytes(row);
      const change = this.#changeOf(row, await file.stat());
      if (change !== undefined) return yield refusal(row, change);
      if (from > size) return yield refusal(row, `it has ${size} bytes, not ${from}`);
      yield encodeHead({ row, kind: "content", bytes: size - from });
      yield* this.#content(file, { row, size, from });
    } finally {
      file.close();
    }
  }

  /** A file's bytes from the first one asked for, then the hash of all. */
  async *#content(
    file: Deno.FsFile,
    { row, size, from }: { row: number; size: number; from: number },
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    const hash = createHash("sha256");
    for (let at = 0; at < size;) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - at));
      const count = await file.read(chunk);
      if (count === null) throw new Error("the file became shorter");
      const bytes = chunk.subarray(0, count);
      hash.update(bytes);
      const skipped = Math.max(from - at, 0);
      at += count;
      if (skipped >= count) continue;
      this.sentBytes += count - skipped;
      yield bytes.subarray(skipped);
    }
    // A file that was written to while it was read gets no hash, so the client takes none of it.
    const change = this.#changeOf(row, await file.stat());
    if (change !== undefined) throw new Error(change);
    yield new Uint8Array(hash.digest());
  }

  /** The difference of a file from the manifest; nothing when it is as it was. */
  #changeOf(row: number, { size, mtime }: Deno.FileInfo): string | undefined {
    const { bytes, modified } = this.#manifest.table.at(row)!;
    if (size !== bytes) {
      return `it has changed since the run began: ${size} bytes instead of ${bytes}`;
    }
    if ((mtime?.getTime() ?? 0) === modified) return undefined;
    return `it has changed since the run began: at ${mtime?.toISOString()}`;
  }
}

async function readRequest(request: Request): Promise<FilesRequest | string> {
  if (Number(request.headers.get("content-length") ?? Infinity) > MAX_REQUEST_BYTES) {
    return "the request is too long";
  }
  try {
    return filesRequestSchema.parse(await request.json());
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) {
      return "it is no request for files";
    }
    throw error;
  }
}

/** Joins small pieces, which cost more than bytes. What came before a failure is sent. */
async function* inLargePieces(
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  let some: Uint8Array[] = [], bytes = 0;
  try {
    for await (const piece of pieces) {
      some.push(piece);
      bytes += piece.length;
      if (bytes < PIECE_BYTES) continue;
      const large = joined(some);
      some = [];
      bytes = 0;
      yield large;
    }
  } catch (error) {
    if (bytes > 0) yield joined(some);
    throw error;
  }
  if (bytes > 0) yield joined(some);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function refusal(row: number, reason: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(reason);
  return joined([encodeHead({ row, kind: "refused", bytes: text.length }), text]);
}

function failure(status: number, reason: string): Response {
  return new Response(reason, { status });
}

/** Of equal length, whatever the text: comparing tells nothing. */
function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

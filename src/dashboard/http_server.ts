/**
 * The dashboard's HTTP server, for clients of any kind: connections are counted, a request has to come within
 * some seconds, and a process that has no file descriptor left for a while only answers later. Whatever happens
 * here, training beside it goes on.
 *
 * The parser is that of `node:http`; connections are accepted here, since a listener of `node:http` or `Deno.serve`
 * ends for good when descriptors run out.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import { delay } from "../base/async.ts";

/** A request, as far as the dashboard looks at it. */
export interface HttpRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly url: URL;
}

/** Settings of the server. */
export interface HttpServerOptions {
  readonly hostname: string;
  /** 0: any. */
  readonly port: number;
  readonly handler: (request: HttpRequest) => Promise<Response>;
  /** Connections at a time (default: 100). */
  readonly maxConnections?: number;
  /** Milliseconds in which a request has to be complete (default: 10,000). */
  readonly requestMs?: number;
  /** Milliseconds after which a reader that takes nothing is dropped (default: 30,000). */
  readonly stallMs?: number;
}

const MAX_CONNECTIONS = 100;
const REQUEST_MS = 10_000;
const STALL_MS = 30_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Milliseconds until connections are accepted again after that failed. */
const RETRY_MS = 100;

/** A name or an address, and a port; RFC 9110 allows none at all. */
const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)?(?::\d{1,5})?$/i;

const BUSY = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n" +
  "Connection: close\r\n\r\n";

/** A connection that waits for its request, or for its answer. */
interface Client {
  readonly stream: Duplex;
  timer: ReturnType<typeof setTimeout> | undefined;
  hasAsked: boolean;
}

/** A server that listens. */
export class HttpServer {
  /** The port that it listens at. */
  readonly port: number;
  /** Resolves when it has ended. */
  readonly finished: Promise<void>;
  readonly #options: HttpServerOptions;
  readonly #listener: Deno.TcpListener;
  readonly #parser: Server;
  readonly #clients = new Map<Duplex, Client>();
  readonly #closing = new AbortController();

  /**
   * Begins to listen.
   *
   * @throws {Deno.errors.AddrInUse} when the port is taken
   */
  constructor(options: HttpServerOptions) {
    const { hostname, port } = options;
    this.#options = options;
    this.#listener = Deno.listen({ hostname, port });
    this.port = this.#listener.addr.port;
    this.#parser = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
      void this.#onRequest(request, response);
    });
    this.#parser.on("clientError", (_error, stream: Duplex) => {
      if (stream.writable) stream.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      stream.end(() => stream.destroy());
    });
    this.finished = this.#accept();
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#clients.size;
  }

  /** Ends the server: connections that are being answered within `graceMs`, the others at once. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#listener.close();
    for (const [stream, { hasAsked }] of this.#clients) if (!hasAsked) stream.destroy();
    const deadline = performance.now() + graceMs;
    while (this.#clients.size > 0 && performance.now() < deadline) await delay(20);
    for (const stream of this.#clients.keys()) stream.destroy();
    await this.finished;
  }

  async #accept(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        this.#onConnection(await this.#listener.accept());
      } catch {
        if (signal.aborted) return;
        // Descriptors have run out: one is given back, and the others that wait get their turn later.
        this.#dropOldest();
        await delay(RETRY_MS, signal).catch(() => {}); // closing: the loop ends
      }
    }
  }

  #onConnection(connection: Deno.TcpConn): void {
    const { maxConnections = MAX_CONNECTIONS, requestMs = REQUEST_MS } = this.#options;
    if (this.#clients.size >= maxConnections && !this.#dropOldest()) {
      return void refuse(connection);
    }
    // deno-lint-ignore no-explicit-any -- the two kinds of web streams are the same
    const stream = Duplex.fromWeb(connection as any);
    const timer = setTimeout(() => stream.destroy(), requestMs);
    const client: Client = { stream, timer, hasAsked: false };
    this.#clients.set(stream, client);
    stream.on("error", () => {}); // its end follows
    stream.on("close", () => {
      clearTimeout(client.timer);
      this.#clients.delete(stream);
      closeQuietly(connection);
    });
    this.#parser.emit("connection", stream);
  }

  /** Ends the connection that has been waiting longest without a request; tells whether there was one. */
  #dropOldest(): boolean {
    for (const [stream, { hasAsked }] of this.#clients) {
      if (hasAsked) continue;
      this.#clients.delete(stream);
      stream.destroy();
      return true;
    }
    return false;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const stream = request.socket as unknown as Duplex;
    const client = this.#clients.get(stream);
    if (client) {
      client.hasAsked = true;
      clearTimeout(client.timer);
    }
    try {
      response.setHeader("Connection", "close");
      const asked = parseRequest(request);
      const answer = asked
        ? await this.#options.handler(asked)
        : new Response("The request or its Host header is malformed\n", {
          status: 400,
          headers: { "Content-Type": "text/plain; charset=utf-8" },
        });
      response.writeHead(answer.status, [...answer.headers].flat());
      await this.#send(answer, response, request.method === "HEAD");
    } catch {
      stream.destroy(); // the reader went away
    }
  }

  /** Sends a body at the reader's pace. */
  async #send(answer: Response, response: ServerResponse, isHead: boolean): Promise<void> {
    const { stallMs = STALL_MS } = this.#options;
    const { promise: gone, resolve } = Promise.withResolvers<"gone">();
    response.on("close", () => resolve("gone"));
    const reader = answer.body?.getReader();
    try {
      while (reader && !isHead) {
        const part = await Promise.race([reader.read(), gone]);
        if (part === "gone") return;
        if (part.done) break;
        const { promise: taken, resolve: take } = Promise.withResolvers<"taken">();
        response.write(part.value, () => take("taken"));
        const over = new AbortController();
        const stalled = delay(stallMs, over.signal).then(() => "gone", () => "gone");
        const outcome = await Promise.race([taken, gone, stalled]);
        over.abort();
        if (outcome === "gone") return void response.destroy();
      }
      const timer = setTimeout(() => response.destroy(), stallMs);
      response.end(() => clearTimeout(timer));
      await gone;
      clearTimeout(timer);
    } finally {
      await reader?.cancel().catch(() => {}); // it has ended, or nobody reads it any more
    }
  }
}

/** The request, or `undefined` where its target or its Host is none. */
function parseRequest(request: IncomingMessage): HttpRequest | undefined {
  const { method = "", url: target = "", rawHeaders } = request;
  const hosts = rawHeaders.filter((name, index) =>
    index % 2 === 0 && name.toLowerCase() === "host"
  );
  const host = request.headers.host ?? "";
  if (hosts.length > 1 || !HOST.test(host)) return undefined;
  const base = `http://${host.startsWith(":") || host === "" ? `localhost${host}` : host}`;
  const url = URL.parse(target.startsWith("/") ? base + target : target);
  if (!url || url.protocol !== "http:" || !URL.canParse(base)) return undefined;
  const headers = new Headers();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index], rawHeaders[index + 1]);
  }
  return { method, headers, url };
}

async function refuse(connection: Deno.TcpConn): Promise<void> {
  await connection.write(new TextEncoder().encode(BUSY)).catch(() => {}); // it went away by itself
  closeQuietly(connection);
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Its streams have closed it.
  }
}

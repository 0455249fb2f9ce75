/**
 * The connection of a host to the coordinator's file server.
 *
 * Requests go through Node's HTTP client, as it checks a certificate for another name than the address's: self-made
 * certificates are for one fixed name.
 *
 * @module
 */
import * as http from "node:http";
import * as https from "node:https";
import { LockstepError, messageOf } from "../../base/errors.ts";
import {
  FILES_PATH,
  type FileSource,
  type FilesRequest,
  HELLO_PATH,
  TransferError,
} from "./file_source.ts";

/** Characters of an answer's reason that are kept. */
const MAX_REASON = 500;
const MAX_SOCKETS = 16;

/** Options of a {@linkcode FileClient}. */
export interface FileClientOptions {
  /** Milliseconds for which a server may send nothing. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The server refuses what is asked for, and would again. */
export class RefusedRequestError extends LockstepError {
  /** Name of the class, for messages. */
  override name = "RefusedRequestError";
}

/** A client of one server, which keeps its connections open until it is disposed of. */
export class FileClient implements Disposable {
  readonly #source: FileSource;
  readonly #options: FileClientOptions;
  readonly #agent: http.Agent;
  #url: string | undefined;

  constructor(source: FileSource, options: FileClientOptions) {
    this.#source = source;
    this.#options = options;
    const settings = { keepAlive: true, maxSockets: MAX_SOCKETS };
    const { certificate, urls } = source;
    this.#agent = urls.some((url) => url.startsWith("https:"))
      ? new https.Agent({ ...settings, ...(certificate === null ? {} : { ca: certificate }) })
      : new http.Agent(settings);
  }

  /** The address in use, or all that there are. */
  get url(): string {
    return this.#url ?? this.#source.urls.join(", ");
  }

  /**
   * Finds an address at which the server answers.
   *
   * @param content The manifest that it has to serve
   * @throws {RefusedRequestError} when it serves something else, or wants another token
   * @throws {TransferError} when it answers at no address
   */
  async open(content: string): Promise<void> {
    const losers = new AbortController();
    const tries = this.#source.urls.map(async (url) => {
      let text = "";
      const decoder = new TextDecoder();
      const chunks = this.#answer(url, HELLO_PATH, undefined, losers.signal);
      for await (const chunk of chunks) text += decoder.decode(chunk, { stream: true });
      return { url, text };
    });
    try {
      const { url, text } = await Promise.any(tries);
      if (text !== content) throw new RefusedRequestError(`${url} serves another data set`);
      this.#url = url;
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      const { errors } = error;
      throw errors.find((each) => each instanceof RefusedRequestError) ??
        new TransferError([...new Set(errors.map(messageOf))].join("; "));
    } finally {
      losers.abort(new Error("another address has answered"));
      await Promise.allSettled(tries);
    }
  }

  /**
   * Asks for files.
   *
   * @returns The bytes of the frames
   * @throws {RefusedRequestError} when the server refuses the request
   * @throws {TransferError} when the connection breaks, or the server sends nothing for some time
   */
  files(request: FilesRequest): AsyncGenerator<Uint8Array> {
    return this.#answer(this.#url ?? this.#source.urls[0]!, FILES_PATH, JSON.stringify(request));
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async *#answer(
    url: string,
    path: string,
    body?: string,
    over?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { signal, silenceMs } = this.#options;
    signal?.throwIfAborted();
    const request = this.#request(url, path, body);
    // What is destroyed without a listener would end the process.
    request.on("error", () => {});
    let reason: Error | undefined, isComplete = false;
    const end = (error: Error) => request.destroy(reason ??= error);
    const abort = () => end(signal?.reason ?? over?.reason);
    const silence = () => end(new TransferError(`it sent nothing for ${silenceMs / 1000} s`));
    let timer = setTimeout(silence, silenceMs);
    signal?.addEventListener("abort", abort, { once: true });
    over?.addEventListener("abort", abort, { once: true });
    try {
      const response = await answerOf(request, body);
      const { statusCode = 0 } = response;
      if (statusCode !== 200) throw await failureOf(url, statusCode, response);
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        clearTimeout(timer); // the time in which the chunk is used doesn't count
        yield chunk;
        timer = setTimeout(silence, silenceMs);
      }
      isComplete = response.complete;
      if (!isComplete) throw new TransferError("the connection broke");
    } catch (error) {
      throw reason ?? asTransferError(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      over?.removeEventListener("abort", abort);
      if (!isComplete) request.destroy(); // else the connection serves the next request
    }
  }

  #request(url: string, path: string, body: string | undefined): http.ClientRequest {
    const { protocol, hostname, port } = new URL(url);
    const { token, serverName } = this.#source;
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    if (body !== undefined) {
      headers["content-length"] = String(new TextEncoder().encode(body).length);
    }
    const options = {
      hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
      ...{ port, path, headers, agent: this.#agent, method: body === undefined ? "GET" : "POST" },
      ...(serverName === null ? {} : { servername: serverName }),
    };
    return protocol === "https:" ? https.request(options) : http.request(options);
  }
}

function answerOf(
  request: http.ClientRequest,
  body: string | undefined,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
    request.once("close", () => reject(new TransferError("the connection broke")));
    request.end(body);
  });
}

/** Reasons for which a connection fails, by the code of the operating system. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection is refused, as the run is over or a firewall is in the way",
  ECONNRESET: "the connection broke",
  EPIPE: "the connection broke",
  EHOSTUNREACH: "there is no way to this address",
  ENETUNREACH: "there is no way to this address",
  ETIMEDOUT: "nothing answers at this address",
};

function asTransferError(error: unknown): unknown {
  if (error instanceof RefusedRequestError || error instanceof TransferError) return error;
  const { code } = error as { code?: unknown };
  return new TransferError(REASONS[String(code)] ?? messageOf(error), { cause: error });
}

async function failureOf(
  url: string,
  status: number,
  response: AsyncIterable<Uint8Array>,
): Promise<Error> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_REASON) break;
  }
  const message = `${url} answered ${status} (${text.slice(0, MAX_REASON)})`;
  const isFinal = status >= 400 && status < 500;
  return isFinal ? new RefusedRequestError(message) : new TransferError(message);
}

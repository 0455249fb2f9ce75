/**
 * The dashboard's server: pages, data and events of the runs in a folder.
 *
 * @module
 */
import { giving, invocation } from "../base/invocation.ts";
import { join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";
import { maskCredentials, maskedJson, maskRunText } from "../base/secrets.ts";
import { delay } from "../base/async.ts";
import { readRegularFile, readRegularText } from "../base/regular_file.ts";
import { lastLine } from "../records/line_tail.ts";
import { readLiveStatus } from "../records/live_status.ts";
import { METRICS_FILE, parseMetrics } from "../records/metrics_log.ts";
import { ComparisonList } from "./comparison_list.ts";
import { encodeMessage, KEEP_ALIVE, streamBody } from "./event_stream.ts";
import { Guard, isLoopback } from "./guard.ts";
import { type HttpRequest, HttpServer, type HttpServerOptions } from "./http_server.ts";
import { comparePage, comparisonPage, missingPage, policyOf, runPage, runsPage } from "./pages.ts";
import { PROMETHEUS_TYPE, prometheusText, type ScrapedRun } from "./prometheus.ts";
import { PICTURES, REPORT, RunFeed } from "./run_feed.ts";
import { readConfig, RunList, type RunSummary } from "./run_list.ts";

/** The default port of the dashboard. */
export const DEFAULT_PORT = 8470;
/** Ports after the default one that are tried when it is taken. */
const MORE_PORTS = 20;

/** Settings of the server. */
export interface DashboardOptions {
  /** Folder of all runs. */
  readonly folder: string;
  /** Name of the folder of the run that `/` shows; unless given, `/` lists them all. */
  readonly home?: string;
  /** Loopback unless given; another address needs a token, which is made up and part of the URL. */
  readonly host?: string;
  /** This very port; unless given, the first free one from {@linkcode DEFAULT_PORT} on. 0: any. */
  readonly port?: number | undefined;
  /** Event streams at a time. */
  readonly mostStreams?: number;
  /** Milliseconds between two looks at the files. */
  readonly pollMs?: number;
  /** Milliseconds after which a reader that takes nothing is dropped. */
  readonly stallMs?: number;
  /** Connections at a time. */
  readonly maxConnections?: number;
  /** Milliseconds in which a request has to be complete. */
  readonly requestMs?: number;
  /** Tells of a request that failed. */
  readonly onError?: (error: unknown) => void;
}

const MAX_STREAMS = 64;
const POLL_MS = 500;
const STALL_MS = 30_000;
const KEEP_ALIVE_MS = 15_000;
/** Runs of one stream. */
const MAX_COMPARED = 16;
/** Milliseconds that readers get for the last news. */
const LAST_NEWS_MS = 1_000;

/** Headers of the files of a run folder that are shown; no others are. */
const PICTURE = { "Content-Type": "image/png" };
/** Whatever the file holds, it is a stranger to the dashboard: it can't read runs with the reader's rights. */
const PAGE_ALONE = {
  "Content-Type": "text/html; charset=utf-8",
  "Content-Security-Policy":
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
    "img-src data:; frame-ancestors 'none'",
};

/** A running dashboard. */
export class Dashboard implements AsyncDisposable {
  /** The dashboard's URL, with the token where one is needed. */
  readonly url: string;
  readonly #options: DashboardOptions;
  readonly #runs: RunList;
  readonly #comparisons: ComparisonList;
  readonly #guard: Guard;
  readonly #server: HttpServer;
  readonly #closing = new AbortController();
  #streams = 0;

  /**
   * Begins to listen.
   *
   * @throws {UsageError} when the port that was asked for is taken, or the address isn't one of this machine
   */
  constructor(options: DashboardOptions) {
    const { host = "127.0.0.1", folder } = options;
    const token = isLoopback(host) ? undefined : crypto.randomUUID().replaceAll("-", "");
    this.#options = options;
    this.#runs = new RunList(folder);
    this.#comparisons = new ComparisonList(this.#runs);
    this.#guard = new Guard(token ? { token } : {});
    this.#server = listen(options, host, (request) => this.#answer(request));
    const { port } = this.#server;
    const name = host.includes(":") ? `[${host}]` : host;
    this.url = `http://${name}:${port}/${token ? `?token=${token}` : ""}`;
  }

  /** The port that it listens at. */
  get port(): number {
    return this.#server.port;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#server.connections;
  }

  /** Event streams that are open. */
  get streams(): number {
    return this.#streams;
  }

  /** Sends the last news, then ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const deadline = performance.now() + LAST_NEWS_MS;
    while (this.#streams > 0 && performance.now() < deadline) await delay(20);
    await this.#server.close(LAST_NEWS_MS);
  }

  /** Waits until the server ends. */
  get finished(): Promise<void> {
    return this.#server.finished;
  }

  async #answer(request: HttpRequest): Promise<Response> {
    const { url } = request;
    let response = this.#guard.check(request, url);
    try {
      response ??= await this.#route(request, url);
    } catch (error) {
      this.#options.onError?.(error);
      response = text(500, "The dashboard failed to answer; its terminal says why");
    }
    return secured(response);
  }

  async #route(request: HttpRequest, url: URL): Promise<Response> {
    const { home } = this.#options;
    const path = decoded(url.pathname);
    if (path === undefined) return notFound(url.pathname);
    if (path === "/") return redirect(home ? `/runs/${encodeURIComponent(home)}` : "/runs");
    if (path === "/runs") return page(await this.#list());
    if (path === "/compare") return await this.#compare(url);
    if (path === "/metrics") return await this.#metrics();
    if (path === "/api/runs") return json(await this.#runs.all());
    if (path === "/api/comparisons") return json(await this.#comparisons.all());
    if (path === "/api/events") return await this.#events(request, url);
    return await this.#folder(path) ?? notFound(path);
  }

  /** Answers a path of a run, of a comparison or of a file in their folders. */
  async #folder(path: string): Promise<Response | undefined> {
    const [, kind, id] = /^\/(runs|comparisons|api\/comparisons|files)\/(.+)$/.exec(path) ?? [];
    if (kind === undefined) return undefined;
    if (kind === "runs") {
      const summary = await this.#runs.summary(id);
      return summary && page(runPage(summary, await configText(this.#runs, id)));
    }
    if (kind === "files") {
      const [, folder, file] = /^(.+)\/([^/]+)$/.exec(id) ?? [];
      if (PICTURES.includes(file)) return await this.#file(folder, file, PICTURE);
      return file === REPORT ? await this.#file(folder, file, PAGE_ALONE) : undefined;
    }
    const detail = await this.#comparisons.detail(id);
    if (!detail) return undefined;
    return kind === "comparisons" ? page(comparisonPage(detail)) : json(detail);
  }

  async #list(): Promise<string> {
    const [runs, comparisons] = [await this.#runs.all(), await this.#comparisons.all()];
    return runsPage(runs, comparisons, this.#runs.folder);
  }

  async #compare(url: URL): Promise<Response> {
    const ids = [...new Set(url.searchParams.getAll("run"))].slice(0, MAX_COMPARED);
    const chosen = await Promise.all(ids.map(async (id) => {
      const [path, summary] = [await this.#runs.pathOf(id), await this.#runs.summary(id)];
      return path && summary ? [{ summary, config: await readConfig(path) }] : [];
    }));
    return page(comparePage(chosen.flat()));
  }

  async #file(id: string, name: string, headers: Record<string, string>): Promise<Response> {
    const folder = await this.#runs.pathOf(id) ?? await this.#runs.comparisonPathOf(id);
    const path = folder && join(folder, name);
    const stat = path && await Deno.lstat(path).catch(() => undefined);
    if (!path || !stat || !stat.isFile) return text(404, "There is no such file");
    // Older versions wrote the credentials of servers into reports.
    if (headers === PAGE_ALONE) {
      return new Response(maskCredentials(await readRegularText(path)), { headers });
    }
    return new Response(await readRegularFile(path), { headers });
  }

  /** Answers with the news of some runs since the reader's last position. */
  async #events(request: HttpRequest, url: URL): Promise<Response> {
    const ids = [...new Set(url.searchParams.getAll("run"))].slice(0, MAX_COMPARED);
    const paths = await Promise.all(ids.map((id) => this.#runs.pathOf(id)));
    if (ids.length === 0 || paths.includes(undefined)) return text(404, "There is no such run");
    if (this.#streams >= (this.#options.mostStreams ?? MAX_STREAMS)) {
      return text(503, "Too many readers: close another page of the dashboard", {
        "Retry-After": "5",
      });
    }
    this.#streams++;
    const cursors = request.headers.get("last-event-id")?.split("~");
    const known = cursors?.length === ids.length ? cursors : undefined;
    const texts = this.#news(ids, paths as string[], known);
    const body = streamBody(texts, {
      stallMs: this.#options.stallMs ?? STALL_MS,
      onEnd: () => this.#streams--,
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  async *#news(
    ids: readonly string[],
    paths: readonly string[],
    cursors: readonly string[] | undefined,
  ): AsyncGenerator<string, void, void> {
    const { pollMs = POLL_MS } = this.#options;
    const feeds = await Promise.all(
      paths.map((path, index) => RunFeed.open(path, cursors?.[index])),
    );
    const configs = await Promise.all(paths.map(readConfig));
    const id = () => feeds.map(({ cursor }) => cursor).join("~");
    let lastText = performance.now();
    for (;;) {
      const isLast = this.#closing.signal.aborted;
      let any = false;
      for (const [index, feed] of feeds.entries()) {
        const news = await feed.news();
        any ||= news.length > 0;
        for (const { type, data } of news) {
          const config = configs[index];
          yield encodeMessage({ event: type, data: { run: ids[index], data }, config, id: id() });
        }
      }
      if (isLast && !any) return;
      if (any) {
        lastText = performance.now();
        continue; // there may be more than one piece
      }
      if (performance.now() - lastText > KEEP_ALIVE_MS) {
        lastText = performance.now();
        yield KEEP_ALIVE;
      }
      await delay(pollMs, this.#closing.signal).catch(() => {}); // closing: once more for the last news
    }
  }

  async #metrics(): Promise<Response> {
    const runs = await this.#runs.all();
    const going = runs.filter(({ state, id }) => state === "running" || id === this.#options.home);
    const scraped = await Promise.all(going.map((summary) => this.#scrape(summary)));
    return new Response(maskCredentials(prometheusText(scraped)), {
      headers: { "Content-Type": PROMETHEUS_TYPE },
    });
  }

  async #scrape(summary: RunSummary): Promise<ScrapedRun> {
    const path = (await this.#runs.pathOf(summary.id))!;
    const [live, line, progress] = await Promise.all([
      readLiveStatus(path),
      lastLine(join(path, METRICS_FILE)),
      this.#runs.progress(summary.id),
    ]);
    const point = line === undefined ? undefined : parseMetrics(line);
    return { summary, live, point, validation: progress?.validation };
  }
}

/** Listens at a port, or at the first that is free. */
function listen(
  { port, ...limits }: DashboardOptions,
  hostname: string,
  handler: HttpServerOptions["handler"],
): HttpServer {
  const ports = port !== undefined
    ? [port]
    : [...Array.from({ length: MORE_PORTS }, (_, index) => DEFAULT_PORT + index), 0];
  for (const candidate of ports) {
    try {
      return new HttpServer({ ...limits, hostname, port: candidate, handler });
    } catch (error) {
      if (error instanceof Deno.errors.AddrInUse) continue;
      if (!(error instanceof Deno.errors.PermissionDenied)) {
        throw new UsageError(
          `dashboard.host ${hostname} is no address of this machine: leave it out for 127.0.0.1`,
        );
      }
      throw error;
    }
  }
  throw new UsageError(
    `Port ${port} of ${hostname} is taken: name another with ${howToName()}, or leave the number out`,
  );
}

/** The flag or key that sets a dashboard's port, for messages. */
function howToName(): string {
  const flags = invocation()?.flags ?? {};
  if ("port" in flags) return "--port PORT";
  if ("dashboard" in flags) return "--dashboard PORT";
  return giving("dashboard.port", "PORT") ?? "dashboard.port";
}

async function configText(runs: RunList, id: string): Promise<string> {
  const path = await runs.pathOf(id);
  if (!path) return "";
  // One that can't be read takes nothing else of the page away.
  const text = await readRegularText(join(path, "config.yaml")).catch(messageOf);
  return maskRunText(text, await readConfig(path));
}

/** A path without its percent signs; `undefined` for one that no page has. */
function decoded(path: string): string | undefined {
  try {
    // What is a separator only when decoded is none of ours.
    if (/%2f|%5c|%00/i.test(path)) return undefined;
    const text = decodeURIComponent(path);
    return text.length > 1 ? text.replace(/\/$/, "") : text;
  } catch {
    return undefined;
  }
}

/** Adds the security headers to an answer. */
function secured(response: Response): Response {
  const { headers } = response;
  if (!headers.has("Content-Security-Policy")) {
    headers.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  headers.set("X-Content-Type-Options", "nosniff");
  headers.set("X-Frame-Options", "DENY");
  headers.set("Referrer-Policy", "no-referrer");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cache-Control", "no-store");
  return response;
}

function page(document: string, status = 200): Response {
  return new Response(document, {
    status,
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": `${policyOf(document)}; frame-ancestors 'none'`,
    },
  });
}

function notFound(path: string): Response {
  return page(missingPage(path), 404);
}

function json(value: unknown): Response {
  return new Response(maskedJson(value), { headers: { "Content-Type": "application/json" } });
}

function text(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(message + "\n", {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8", ...headers },
  });
}

function redirect(location: string): Response {
  return new Response(null, { status: 303, headers: { Location: location } });
}

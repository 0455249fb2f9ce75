/**
 * This repository as an address: a server of its files on the loopback, as a host of source files serves them.
 *
 * @module
 */
import { extname } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { pathToFileURL } from "node:url";

const TYPES: Readonly<Record<string, string>> = {
  ".ts": "application/typescript",
  ".js": "text/javascript",
  ".json": "application/json",
  ".css": "text/css",
  ".html": "text/html",
};

/** A server of this repository's files. */
export interface ServedFiles extends AsyncDisposable {
  /** Ends with a slash; the files lie in a folder of the host. */
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  /** Stops serving. */
  close(): Promise<void>;
}

/** Serves this repository until it is disposed of. */
export function serveRepository(): ServedFiles {
  const asked: string[] = [];
  const base = "/lib/v1/";
  const root = pathToFileURL(PROJECT_ROOT + "/");
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      asked.push(path);
      if (!path.startsWith(base)) return new Response("not here", { status: 404 });
      try {
        const bytes = await Deno.readFile(new URL(path.slice(base.length), root));
        return new Response(bytes, {
          headers: { "Content-Type": TYPES[extname(path)] ?? "text/plain" },
        });
      } catch {
        return new Response("not here", { status: 404 });
      }
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}${base}`;
  let closed: Promise<void> | undefined;
  const close = () => closed ??= server.shutdown();
  return { url, asked, close, [Symbol.asyncDispose]: close };
}

/**
 * A real browser for tests of pages: the Chromium or Chrome of this machine, without a window.
 *
 * Code for the page goes to `page.evaluate()` as a string: the checker knows Deno's types, not a page's.
 *
 * @module
 */
import "./end_with_runner.ts";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fail } from "node:assert/strict";
import type { Browser, BrowserContext, ConsoleMessage, Page, Request } from "playwright-core";
import { withVariables } from "./environment.ts";

/** Names that the browser goes by on PATH. */
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Options for the display of a page. */
export interface PageOptions {
  /** Default: light. */
  readonly colorScheme?: "light" | "dark";
  /** CSS pixels; default 1280 × 800. */
  readonly width?: number;
  readonly height?: number;
  /** Device pixels per CSS pixel; default 1. */
  readonly scale?: number;
  /** Don't fail when the page logs an error or throws one. */
  readonly allowErrors?: boolean;
}

/**
 * The browser's program: `LOCKSTEP_BROWSER`, else the first found on PATH; `undefined` where there is none.
 *
 * @throws {Error} when there is none and `LOCKSTEP_REQUIRE_BROWSER` is 1
 */
export function browserPath(): string | undefined {
  const named = Deno.env.get("LOCKSTEP_BROWSER");
  if (named) return named;
  const folders = (Deno.env.get("PATH") ?? "").split(delimiter).filter(Boolean);
  const found = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path));
  if (found === undefined && Deno.env.get("LOCKSTEP_REQUIRE_BROWSER") === "1") {
    throw new Error(
      `There is no ${NAMES[0]} on PATH: install it, or set LOCKSTEP_BROWSER to a browser's path`,
    );
  }
  return found;
}

/**
 * Registers a test that needs a browser. Without one it is ignored, and its name says so; with
 * `LOCKSTEP_REQUIRE_BROWSER=1` it fails instead.
 */
export function browserTest(name: string, run: () => Promise<void>): void {
  const required = Deno.env.get("LOCKSTEP_REQUIRE_BROWSER") === "1";
  const ignore = !required && browserPath() === undefined;
  if (!ignore && !shared.isPlanned) shareBrowser();
  Deno.test({ name: ignore ? `${name} (no chromium on PATH)` : name, ignore, fn: run });
}

/** The browser of all browser tests of a file: to start one takes a second, a context of its own takes none. */
const shared: { isPlanned: boolean; browser?: Browser } = { isPlanned: false };

/** Starts a browser before the first test of the file, and closes it after the last one. */
function shareBrowser(): void {
  shared.isPlanned = true;
  Deno.test.beforeAll(async () => {
    shared.browser = await launch();
  });
  Deno.test.afterAll(async () => {
    await shared.browser?.close();
  });
}

async function launch(): Promise<Browser> {
  const executablePath = browserPath() ?? fail("There is no browser on PATH");
  return await (await playwright()).chromium.launch({
    executablePath,
    headless: true,
    args: FLAGS,
  });
}

/**
 * Runs `use` with an empty page in a context of its own, without what other pages stored: in the browser of the file's
 * browser tests, else in one that is gone afterwards.
 *
 * @throws {Error} when the page threw or logged an error, or asked another machine for something
 */
export async function withPage(
  options: PageOptions,
  use: (page: Page, context: BrowserContext) => Promise<void>,
): Promise<void> {
  const own = shared.browser?.isConnected() ? undefined : await launch();
  try {
    const context = await (own ?? shared.browser!).newContext({
      colorScheme: options.colorScheme ?? "light",
      viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
      deviceScaleFactor: options.scale ?? 1,
    });
    const wrongs = watch(context);
    try {
      await use(await context.newPage(), context);
    } finally {
      await context.close();
    }
    const counted = wrongs.filter(({ kind }) => kind === "network" || !options.allowErrors);
    if (counted.length > 0) fail(counted.map(({ text }) => text).join("\n"));
  } finally {
    await own?.close();
  }
}

interface Wrong {
  readonly kind: "error" | "network";
  readonly text: string;
}

/** Records what goes wrong on a context's pages. */
function watch(context: BrowserContext): Wrong[] {
  const wrongs: Wrong[] = [];
  context.on("weberror", (error) => {
    wrongs.push({ kind: "error", text: `The page threw: ${error.error().stack}` });
  });
  context.on("console", (message: ConsoleMessage) => {
    if (message.type() !== "error") return;
    wrongs.push({ kind: "error", text: `The page logged an error: ${message.text()}` });
  });
  context.on("request", (request: Request) => {
    const { protocol, hostname } = new URL(request.url());
    const local = ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
    if (!/^(https?|wss?):$/.test(protocol) || local) return;
    wrongs.push({ kind: "network", text: `The page asked another machine: ${request.url()}` });
  });
  return wrongs;
}

/**
 * Playwright, imported at the first use. When loaded it looks for signs of WSL in `/proc`, which Deno opens only to
 * programs that may do everything; informed that this is a test of that very look, Playwright skips the look.
 */
async function playwright(): Promise<typeof import("playwright-core")> {
  using _test = withVariables({ __IS_WSL_TEST__: "1" });
  return await import("playwright-core");
}

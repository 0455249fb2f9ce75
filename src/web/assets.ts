/**
 * The scripts and styles of Lockstep's pages, as text: uPlot out of its npm package, and our own files.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** uPlot with its licence, which must go along with it. */
export interface ChartLibrary {
  readonly script: string;
  readonly style: string;
}

/** Our own script, by what it does. */
export type ClientScript = "theme" | "charts" | "tables";

const cached = new Map<string, Promise<string>>();

/** uPlot's script, which makes the global `uPlot`, and its style; each begins with the licence. */
export async function chartLibrary(): Promise<ChartLibrary> {
  // A package's folder is only known to Deno once something of it was imported.
  await import("uplot/package.json", { with: { type: "json" } });
  const [licence, script, style] = await Promise.all([
    readOnce(import.meta.resolve("uplot/LICENSE")),
    readOnce(import.meta.resolve("uplot/dist/uPlot.iife.min.js")),
    readOnce(import.meta.resolve("uplot/dist/uPlot.min.css")),
  ]);
  const notice = `/*! uPlot (github.com/leeoniya/uPlot)\n${licence.trim()}\n*/\n`;
  return { script: notice + script, style: notice + style };
}

/** The look of all pages: colours for light and dark, type, spacing, cards, tables, badges, charts. */
export async function themeStyle(): Promise<string> {
  return await readOnce(new URL("./theme.css", import.meta.url).href);
}

/** One of our own scripts. */
export async function clientScript(name: ClientScript): Promise<string> {
  return await readOnce(new URL(`./client/${name}.js`, import.meta.url).href);
}

function readOnce(url: string): Promise<string> {
  let text = cached.get(url);
  if (!text) cached.set(url, text = Deno.readTextFile(fileURLToPath(url)));
  return text;
}

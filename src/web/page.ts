/**
 * The shell of a page: one document that carries its styles and scripts, and forbids all others.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { visibleSource } from "../base/visible_text.ts";
import { UPLOT_SCRIPT, UPLOT_STYLE } from "../deps/uplot.ts";
import charts from "./client/charts.js" with { type: "text" };
import tables from "./client/tables.js" with { type: "text" };
import theme from "./client/theme.js" with { type: "text" };
import { type Html, html, join, jsonData, trustedHtml } from "./html.ts";
import themeStyle from "./theme.css" with { type: "text" };

/** A page. */
export interface Page {
  /** In the browser's tab. */
  readonly title: string;
  /** For who finds the page without opening it. */
  readonly description?: string;
  /** The content of `<body>`, with a `<main id="main">`. */
  readonly body: Html;
  /** Style sheets after the theme. */
  readonly styles?: readonly string[];
  /** Scripts after the shared ones (theme, visible text, uPlot, charts, tables); they run when the body stands. */
  readonly scripts?: readonly string[];
  /** Data by element id, for {@linkcode jsonData}; `charts` holds the charts that mount by themselves. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** True if scripts may talk to the server that the page came from. */
  readonly connect?: boolean;
}

/** The icon in the browser's tab: two bars in step. */
const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" ' +
    'fill="#0072b2"/><path d="M4 11V7m4 4V3m4 8V7" stroke="#fff" stroke-width="2"/></svg>',
);

/** For text that scripts show, laid out as it is: `lockstepVisible(text)`. */
const VISIBLE_SCRIPT = `globalThis.lockstepVisible = (() => {
  const visible = ${visibleSource()};
  return (text) => String(text).replace(/[^\\t\\n\\r]+/g, visible);
})();`;

/** The whole document as text. */
export function renderPage(page: Page): string {
  const styles = [themeStyle, UPLOT_STYLE, ...page.styles ?? []].map(forStyle);
  const scripts = [VISIBLE_SCRIPT, UPLOT_SCRIPT, charts, tables, ...page.scripts ?? []].map(
    forScript,
  );
  const policy = contentSecurityPolicy(styles, [theme, ...scripts], page.connect ?? false);
  const data = Object.entries(page.data ?? {}).map(([id, value]) => jsonData(id, value));
  const document = html`
    <!doctype html>
    <html lang="en">
      <head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="generator" content="Lockstep">
    <meta name="referrer" content="no-referrer">
    ${page.description && html`<meta name="description" content="${page.description}">`}
    <title>${page.title}</title>
    <link rel="icon" href="${ICON}">
    ${join(styles.map((style) => element("style", style)), "\n")}
    ${element("script", theme)}
      </head>
      <body>
    <a class="skip" href="#main">Skip to the content</a>
    ${page.body}
    ${join(data, "\n")}
    ${join(scripts.map((script) => element("script", script)), "\n")}
      </body>
    </html>
  `;
  return document.toString();
}

/** A button that switches between light, dark and the system's choice; the theme's script finds it. */
export function themeToggle(): Html {
  return html`<button type="button" class="button theme-toggle" data-theme-toggle>
    <span aria-hidden="true">◐</span> <span data-theme-name>Theme</span></button>`;
}

/**
 * Returns the content security policy of a page: it may load and run nothing but what is in it.
 *
 * @param styles, scripts Texts of the inline elements
 * @param connect Whether it may ask its own server
 */
export function contentSecurityPolicy(
  styles: readonly string[],
  scripts: readonly string[],
  connect: boolean,
): string {
  const hashes = (texts: readonly string[]) =>
    texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`).join(" ");
  return [
    "default-src 'none'",
    `script-src ${hashes(scripts)}`,
    `style-src ${hashes(styles)}`,
    `img-src data:${connect ? " 'self'" : ""}`,
    ...(connect ? ["connect-src 'self'"] : []),
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}

function element(name: "style" | "script", text: string): Html {
  return trustedHtml(`<${name}>${text}</${name}>`);
}

/** A script's text can't hold the tag that would end it. */
function forScript(text: string): string {
  if (/<\/script|<!--/i.test(text)) throw new TypeError("A script holds </script or <!--");
  return text;
}

function forStyle(text: string): string {
  if (/<\/style/i.test(text)) throw new TypeError("A style sheet holds </style");
  return text;
}

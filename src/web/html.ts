/**
 * HTML that is escaped by construction: what is put into a template is text, unless it is HTML that another
 * template made.
 *
 * @module
 */

import { maskCredentials, maskedJson } from "../base/secrets.ts";
import { visibleBlock } from "../base/visible_text.ts";

/** A piece of HTML. Only this module makes them, so a string can't be taken for one. */
export class Html {
  readonly #text: string;

  /** @param text Markup; `brand` keeps other modules from calling this */
  constructor(text: string, brand: symbol) {
    if (brand !== BRAND) throw new TypeError("Html is made by html`…`, never from a string");
    this.#text = text;
  }

  /** The markup. */
  toString(): string {
    return this.#text;
  }
}

const BRAND = Symbol("html");

/** A value that may stand in a template: text is escaped, nothing is written for `null`, `undefined` and `false`. */
export type HtmlValue = Html | string | number | null | undefined | false | readonly HtmlValue[];

/** Characters that could end a text or a quoted attribute. */
const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * Positions where escaping would not be enough: an attribute without quotes, a handler, a style, a tag's name, a
 * script.
 */
const UNSAFE_PLACE =
  /<[a-z][^<>]*=\s*$|<[a-z][^<>]*\s(?:on\w+|style)\s*=\s*(?:"[^"]*|'[^']*)$|<\/?$|<(script|style)\b(?:(?!<\/\1).)*$/is;
const IN_QUOTES = /<[a-z][^<>]*=\s*(?:"[^"]*|'[^']*)$/i;
const URL_PLACE = /\s(?:href|src|action|formaction|poster)\s*=\s*["']$/i;
const SAFE_URL = /^(?:https?:|data:image\/|#|\.{0,2}\/|[^:]*$)/i;

/**
 * A template of HTML.
 *
 * @example
 * ```ts
 * import { html } from "./html.ts";
 *
 * const rows = ["<b>", "x"].map((name) => html`<li>${name}</li>`);
 * html`<ul class="names">${rows}</ul>`; // <ul class="names"><li>&lt;b&gt;</li><li>x</li></ul>
 * ```
 *
 * @throws {TypeError} where a value would stand in an attribute without quotes, in a handler, script or
 * style, or as an address of a scheme that may run code
 */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  let text = strings[0];
  let literal = "";
  values.forEach((value, index) => {
    literal += strings[index];
    if (UNSAFE_PLACE.test(literal)) {
      throw new TypeError(`No value may stand after ${JSON.stringify(literal.slice(-40))}`);
    }
    if (value instanceof Html && IN_QUOTES.test(literal)) {
      throw new TypeError(`No tags may stand after ${JSON.stringify(literal.slice(-40))}`);
    }
    if (URL_PLACE.test(literal)) checkAddress(String(value));
    text += render(value) + strings[index + 1];
  });
  return new Html(text, BRAND);
}

/** HTML one after the other. */
export function join(parts: readonly HtmlValue[], separator: HtmlValue = ""): Html {
  return new Html(parts.map(render).join(render(separator)), BRAND);
}

/** Markup of our own that no template can make, such as the text of a script; never anything from outside. */
export function trustedHtml(text: string): Html {
  return new Html(text, BRAND);
}

/**
 * Text as it stands in HTML, both between tags and in quoted attributes. Credentials of addresses are masked; what
 * doesn't show is an escape.
 */
export function escapeHtml(text: string): string {
  return visibleBlock(maskCredentials(text)).replace(
    /[&<>"']/g,
    (character) => ENTITIES[character],
  );
}

/** Longer names may be cut where they are shown. */
const LONG_NAME = 40;

/** A name from outside, such as a class: its direction doesn't reach the text around it. */
export function foreignName(text: string): Html {
  if (text.length <= LONG_NAME) return html`<bdi class="name">${text}</bdi>`;
  return html`<bdi class="name" title="${text}">${text}</bdi>`;
}

/** The address of a file below the page's folder, whatever characters its name has. */
export function relativeAddress(path: string): string {
  return "./" + path.split("/").map(encodeURIComponent).join("/");
}

/**
 * Data for the page's scripts: `JSON.parse(document.getElementById(id).textContent)`.
 *
 * Credentials of addresses are masked.
 *
 * @param value JSON-like; NaN and infinities become null
 */
export function jsonData(id: string, value: unknown): Html {
  const json = maskedJson(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0"),
  );
  return trustedHtml(`<script type="application/json" id="${escapeHtml(id)}">${json}</script>`);
}

function render(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return "";
  if (value instanceof Html) return value.toString();
  if (Array.isArray(value)) return value.map(render).join("");
  return escapeHtml(String(value));
}

function checkAddress(address: string): void {
  if (!SAFE_URL.test(address)) {
    throw new TypeError(`${address.slice(0, 40)} is no address that a page may have`);
  }
}

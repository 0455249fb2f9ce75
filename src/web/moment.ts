/**
 * Moments on pages.
 *
 * @module
 */
import { type Html, html } from "./html.ts";

/** A moment as `<time>`, to the second, in UTC. */
export function moment(iso: string): Html {
  const text = iso.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  return html`<time datetime="${iso}">${text}</time>`;
}

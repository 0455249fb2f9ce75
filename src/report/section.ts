/**
 * A section of the report.
 *
 * @module
 */
import { type Html, html, type HtmlValue } from "../web/html.ts";
import type { ChartSpec } from "../web/chart.ts";

/** A part of the page that the list of contents names. */
export interface Section {
  /** Of the element. */
  readonly id: string;
  readonly title: string;
  readonly body: HtmlValue;
  /** Under the title. */
  readonly note?: HtmlValue;
  /** The content of the section's charts, by the ids of their figures. */
  readonly charts?: Readonly<Record<string, ChartSpec>>;
}

/** The markup of a section. */
export function sectionHtml({ id, title, body, note }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${`${id}-title`}">
    <h2 id="${`${id}-title`}">${title}</h2>
    ${note && html`<p class="note">${note}</p>`}
    ${body}
  </section>`;
}

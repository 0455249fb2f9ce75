/**
 * The layout of a report: a head, a list of contents, sections, and a foot, in one document.
 *
 * @module
 */
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { type Html, html } from "../web/html.ts";
import { renderPage } from "../web/page.ts";
import reportStyle from "./report.css" with { type: "text" };
import reportScript from "./report.js" with { type: "text" };
import { type Section, sectionHtml } from "./section.ts";
import { moment } from "../web/moment.ts";

/** The content of a report. */
export interface ReportPage {
  /** In the browser's tab. */
  readonly title: string;
  /** For who finds the page without opening it. */
  readonly description: string;
  readonly header: Html;
  readonly sections: readonly Section[];
  /** Sentences about files that are missing or can't be read. */
  readonly notes: readonly string[];
  /** The time of writing. */
  readonly now: Date;
}

/** The report as an HTML document. */
export function renderReportPage(page: ReportPage): string {
  const { title, description, header, sections } = page;
  return renderPage({
    title,
    description,
    styles: [reportStyle],
    scripts: [reportScript],
    data: { charts: Object.assign({}, ...sections.map(({ charts }) => charts ?? {})) },
    body: html`<div class="layout">
      ${header}
      <nav class="contents" aria-label="Contents"><ol>${
      sections.map(({ id, title }) => html`<li><a href="${`#${id}`}">${title}</a></li>`)
    }</ol></nav>
      <main id="main">${sections.map(sectionHtml)}</main>
      ${footer(page)}
    </div>`,
  });
}

function footer({ notes, now }: ReportPage): Html {
  return html`<footer><p class="note">Written by Lockstep ${LOCKSTEP_VERSION} at ${
    moment(now.toISOString())
  }. Charts by uPlot, MIT licence.</p>${
    notes.length > 0 && html`
      <details>
        <summary>What this page lacks</summary>
        <ul class="note">${notes.map((note) => html`<li class="name">${note}</li>`)}</ul>
      </details>
    `
  }</footer>`;
}

/**
 * Heads of tables.
 *
 * @module
 */
import { type Html, html } from "./html.ts";

/** The title of a column, or of one whose cells are numbers. */
export type ColumnTitle = string | Html | { readonly number: string | Html };

/** A table's head with one row. */
export function tableHead(...titles: readonly ColumnTitle[]): Html {
  return html`
    <thead>
      <tr>${titles.map((title) =>
        typeof title === "object" && "number" in title
          ? html`<th scope="col" class="number">${title.number}</th>`
          : html`<th scope="col">${title}</th>`
      )}</tr>
    </thead>
  `;
}

/** Columns of a comparison's runs, in its report and on its page. */
export const MEMBER_COLUMNS: readonly ColumnTitle[] = [
  "Variant",
  { number: "Seed" },
  "State",
  { number: "Epochs" },
  { number: "Best accuracy" },
  { number: "Best epoch" },
  { number: "Time" },
];

/** The title of the table of lost workers, in a run's report and on its page. */
export const INCIDENTS_TITLE = "Lost workers and recoveries";
/** Its columns. */
export const INCIDENT_COLUMNS: readonly ColumnTitle[] = [
  "When",
  "Lost workers",
  "How the run went on",
  { number: "Workers" },
  { number: "Cost" },
];

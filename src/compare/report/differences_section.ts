/**
 * The settings in which a comparison's variants differ.
 *
 * @module
 */
import { type Html, html, type HtmlValue } from "../../web/html.ts";
import type { Comparison } from "../comparison.ts";
import type { Section } from "../../report/section.ts";
import { valueHtml } from "../../report/settings_section.ts";
import { groupedCount } from "../../base/format.ts";
import { variantName } from "./looks.ts";

/** From so many variants on, each has a row rather than a column. */
const MANY_VARIANTS = 6;
/** Settings that are shown: weights of classes are a setting each. */
const MAX_SETTINGS = 200;

/** A row for each setting and a column for each variant; of many variants, the other way round. */
export function differencesSection({ variants }: Comparison): Section {
  const all = [...new Set(variants.flatMap(({ differences }) => Object.keys(differences)))];
  const keys = all.slice(0, MAX_SETTINGS);
  const settings = keys.map((key) => html`<code>${key}</code>`);
  const names = variants.map(({ label }, index) => variantName(label, index));
  const values = keys.map((key) =>
    variants.map(({ differences }) => {
      const value = differences[key];
      return value === null || value === undefined ? "–" : valueHtml(value);
    })
  );
  return {
    id: "differences",
    title: "Settings that differ",
    note: "Names, folders and seeds apart. All other settings are the same in all variants." +
      (keys.length < all.length
        ? ` Of ${
          groupedCount(all.length, "setting")
        }, the first ${keys.length}; comparison.json has all.`
        : ""),
    body: keys.length === 0 ? html`<p class="card">None: the variants are equal.</p>` : html`
      <div class="card scroll" tabindex="0" role="region"
        aria-label="Settings that differ">${variants.length < MANY_VARIANTS
          ? table("Setting", names, settings, values)
          : table(
            "Variant",
            settings,
            names,
            variants.map((_, index) => values.map((row) => row[index])),
          )}</div>
    `,
  };
}

function table(
  corner: string,
  columns: readonly Html[],
  rows: readonly Html[],
  cells: readonly (readonly HtmlValue[])[],
): Html {
  return html`
    <table class="wide differences">
      <thead>
        <tr><th scope="col">${corner}</th>${columns.map((column) =>
          html`<th scope="col">${column}</th>`
        )}</tr>
      </thead>
      <tbody>${rows.map((row, index) =>
        html`<tr><th scope="row">${row}</th>${
          cells[index].map((cell) => html`<td>${cell}</td>`)
        }</tr>`
      )}</tbody>
    </table>
  `;
}

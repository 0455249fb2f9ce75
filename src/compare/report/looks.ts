/**
 * The looks of variants in tables and charts.
 *
 * @module
 */
import type { SeriesColour } from "../../web/chart.ts";
import { foreignName, type Html, html } from "../../web/html.ts";

const COLOURS = 8;

/** The look of a variant's line, by its position: colours come again in dashes. */
export function lookOf(index: number): { readonly colour: SeriesColour; readonly dash: boolean } {
  const colour = (index % COLOURS + 1) as SeriesColour;
  return { colour, dash: Math.floor(index / COLOURS) % 2 === 1 };
}

/** The name of a variant behind the sign of its line. */
export function variantName(label: string, index: number): Html {
  const { colour, dash } = lookOf(index);
  return html`
    <span class="${`swatch${dash ? " dashed" : ""} back-${colour}`}" aria-hidden="true"></span>
    <span>${foreignName(label)}</span>
  `;
}

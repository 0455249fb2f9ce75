/**
 * A bar of several parts, as SVG: a breakdown that needs no script.
 *
 * @module
 */
import type { SeriesColour } from "./chart.ts";
import { type Html, html } from "./html.ts";

/** A part of a bar. */
export interface BarPart {
  readonly label: string;
  readonly value: number;
  readonly colour: SeriesColour;
}

const WIDTH = 1000;
const HEIGHT = 20;

/**
 * The bar; its parts follow each other without gaps.
 *
 * @param parts From left to right; parts of nothing are left out
 * @param label What it shows with its figures, read out in place of the picture
 * @param most The value of the whole width; the sum of the parts unless given
 */
export function stackedBar(parts: readonly BarPart[], label: string, most?: number): Html {
  const total = most ?? parts.reduce((sum, { value }) => sum + value, 0);
  let x = 0;
  const rects = parts.filter(({ value }) => value > 0 && total > 0).map((part) => {
    const width = part.value / total * WIDTH;
    const rect = html`
      <rect class="fill-${part.colour}" x="${x.toFixed(2)}" y="0"
        width="${width.toFixed(2)}" height="${HEIGHT}">
        <title>${part.label}</title>
      </rect>
    `;
    x += width;
    return rect;
  });
  return html`
    <svg class="bar" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img"
      aria-label="${label}">${rects}</svg>
  `;
}

/** The names of a bar's colours. */
export function barLegend(parts: readonly { label: string; colour: SeriesColour }[]): Html {
  return html`<ul class="key">${
    parts.map(({ label, colour }) =>
      html`<li><span class="swatch back-${colour}" aria-hidden="true"></span>${label}</li>`
    )
  }</ul>`;
}

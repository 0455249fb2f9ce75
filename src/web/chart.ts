/**
 * Charts of a page: what they show, and the markup that `client/charts.js` fills.
 *
 * @module
 */
import { type Html, html, type HtmlValue } from "./html.ts";

/** The format of values: a share as percent, milliseconds, images per second, … */
export type ValueFormat =
  | "number"
  | "loss"
  | "percent"
  | "ms"
  | "rate"
  | "bytes"
  | "rate-of-learning"
  | "integer";

/** A colour of the theme: `--series-<name>`. */
export type SeriesColour =
  | "train"
  | "validation"
  | "data"
  | "compute"
  | "exchange"
  | "idle"
  | "update"
  | 1
  | 2
  | 3
  | 4
  | 5
  | 6
  | 7
  | 8;

/** A line, or a layer of a stack. */
export interface ChartSeries {
  readonly label: string;
  /** `null` where there is nothing. */
  readonly values: readonly (number | null)[];
  /** Places of the values, where they are others than the chart's. */
  readonly x?: readonly number[];
  readonly colour: SeriesColour;
  /** A line in dashes: told apart without its colour. */
  readonly dash?: boolean;
  /** A thin, pale line: the values behind a mean. */
  readonly faint?: boolean;
  /** Dots at the values; unless set, where there is room for them. */
  readonly points?: boolean;
  /** Dots alone, without a line. */
  readonly pointsOnly?: boolean;
}

/** A vertical line with a name, and a ring around a series' value there. */
export interface ChartMark {
  readonly x: number;
  readonly label: string;
  /** Index in `series`. */
  readonly series?: number;
}

/** A chart, JSON-like: `client/charts.js` draws it. */
export interface ChartSpec {
  /** `stack` lays the series on each other as areas. */
  readonly kind: "line" | "stack";
  readonly x: {
    readonly label: string;
    readonly values: readonly number[];
    readonly format?: ValueFormat;
  };
  readonly y: {
    readonly label: string;
    readonly format: ValueFormat;
    /** Ends of the axis; unless set, what the values need. */
    readonly min?: number;
    readonly max?: number;
    readonly log?: boolean;
  };
  readonly series: readonly ChartSeries[];
  readonly marks?: readonly ChartMark[];
  /** In CSS pixels; 260 unless set. */
  readonly height?: number;
  /** Charts with the same key show the same place at the same time. */
  readonly sync?: string;
}

/** A figure around a chart. */
export interface ChartFigure {
  /** Key of the chart in the page's data `charts`; without data there, a script mounts it. */
  readonly id: string;
  readonly title: string;
  /** A description in a sentence, which is read out in place of the picture. */
  readonly summary: string;
  readonly note?: HtmlValue;
}

/** The markup of a chart. */
export function chartFigure({ id, title, summary, note }: ChartFigure): Html {
  return html`
    <figure class="card chart" data-chart="${id}" id="chart-${id}">
      <figcaption><h3>${title}</h3>${note && html`<p class="note">${note}</p>`}</figcaption>
      <div class="chart-legend" role="group" aria-label="${`Series of ${title}`}"></div>
      <div class="chart-plot" tabindex="0" role="group"
        aria-label="${`${title}. ${summary} Arrow keys move from value to value.`}"></div>
      <p class="visually-hidden" aria-live="polite" data-chart-said></p>
      <noscript><p class="note">The chart needs JavaScript.</p></noscript>
      <details class="chart-table">
        <summary>Values as a table</summary>
        <div class="scroll" tabindex="0" role="region" aria-label="${`Values of ${title}`}"></div>
      </details>
    </figure>
  `;
}

/**
 * Numbers and times of a report as text.
 *
 * @module
 */
import { type Html, html } from "../web/html.ts";

/** A share of 0 … 1 as percent with one decimal; a dash where there is none. */
export function percent(share: number | undefined | null): string {
  return typeof share === "number" && Number.isFinite(share) ? `${(share * 100).toFixed(1)}%` : "–";
}

/** Milliseconds with as many digits as tell something. */
export function milliseconds(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/** A whole number with separators between thousands. */
export function whole(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** A number and its noun: `1 epoch`, `2 epochs`. */
export function counted(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** A moment, to the second, in UTC. */
export function moment(iso: string): Html {
  const text = iso.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  return html`<time datetime="${iso}">${text}</time>`;
}

/** The mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The value that a share of the values lies below; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

/** A number for the page's data: six significant digits, and null for what isn't one. */
export function short(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

/** At most `most` runs of neighbours, as even as can be: for means where there are more values than pixels. */
export function inWindows<T>(values: readonly T[], most: number): T[][] {
  const every = Math.max(1, Math.ceil(values.length / most));
  return Array.from(
    { length: Math.ceil(values.length / every) },
    (_, index) => values.slice(index * every, (index + 1) * every),
  );
}

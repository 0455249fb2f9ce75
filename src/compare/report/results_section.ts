/**
 * The results of each variant of a comparison.
 *
 * @module
 */
import { tableHead } from "../../web/table_head.ts";
import { type Html, html } from "../../web/html.ts";
import {
  bestVariant,
  type ComparedVariant,
  type Comparison,
  summarizeRun,
  summarizeVariant,
} from "../comparison.ts";
import { formatDuration, formatPercent, formatRate, groupedCount } from "../../base/format.ts";
import type { Section } from "../../report/section.ts";
import { variantName } from "./looks.ts";

/** The table of best accuracies. */
export function resultsSection(comparison: Comparison): Section {
  const best = bestVariant(comparison);
  const repeats = Math.max(...comparison.variants.map(({ runs }) => runs.length));
  const counts = new Set(
    comparison.variants.flatMap(({ runs }) => runs[0].epochs[0]?.validation.count ?? []),
  );
  return {
    id: "results",
    title: "Results",
    note: (repeats > 1 ? `Mean ± standard deviation over ${groupedCount(repeats, "seed")}. ` : "") +
      "Best validation accuracy of any epoch; time is that of all epochs, speed the median of the epochs." +
      (counts.size > 1
        ? " The variants were validated on different numbers of images: their accuracies are not of the same images."
        : ""),
    body: html`
      <div class="card scroll" tabindex="0" role="region" aria-label="Results">
        <table class="wide" data-sortable>
          ${tableHead(
            "Variant",
            { number: "Best accuracy" },
            { number: repeats > 1 ? "Range" : "Best epoch" },
            { number: "Time" },
            { number: "Speed" },
            { number: "Runs finished" },
          )}
          <tbody>${comparison.variants.map((variant, index) =>
            row(variant, index, variant === best, repeats)
          )}</tbody>
        </table>
      </div>
    `,
  };
}

function row(variant: ComparedVariant, index: number, isBest: boolean, repeats: number): Html {
  const { bestAccuracy, seconds, imagesPerSecond, finished, runs } = summarizeVariant(variant);
  const { mean, deviation, least, most } = bestAccuracy;
  const known = Number.isFinite(mean);
  const { bestEpoch } = summarizeRun(variant.runs[0]);
  const failed = variant.runs.filter(({ status }) => status === "failed").length;
  const [place, placeValue] = repeats > 1
    ? [`${formatPercent(least)} to ${formatPercent(most)}`, least]
    : [String(bestEpoch), bestEpoch];
  return html`
    <tr>
      <th scope="row">${variantName(variant.label, index)}${isBest && html`
        <span class="badge good">best</span>
      `}</th>
      <td class="number" data-value="${known ? mean : ""}">${formatPercent(mean)}${known &&
        runs > 1 &&
        ` ± ${formatPercent(deviation)}`}</td>
      <td class="number" data-value="${known ? placeValue : ""}">${known ? place : "–"}</td>
      <td class="number" data-value="${known ? seconds.mean : ""}">${known
        ? formatDuration(seconds.mean)
        : "–"}</td>
      <td class="number" data-value="${known
        ? imagesPerSecond.mean
        : ""}">${Number.isFinite(imagesPerSecond.mean)
        ? formatRate(imagesPerSecond.mean)
        : "–"}</td>
      <td class="number" data-value="${finished}">${finished} / ${runs}${failed > 0 && html`
        <span class="badge bad">${failed} failed</span>
      `}</td>
    </tr>
  `;
}

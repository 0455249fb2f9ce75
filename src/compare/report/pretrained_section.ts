/**
 * The gain of pretrained weights over training from scratch, epoch by epoch.
 *
 * @module
 */
import { tableHead } from "../../web/table_head.ts";
import { foreignName, type Html, html } from "../../web/html.ts";
import { type ComparedVariant, type Comparison, summarizeVariant } from "../comparison.ts";
import type { Section } from "../../report/section.ts";
import { someEpochs } from "../../plots/thin.ts";
import { formatPercent, groupedCount } from "../../base/format.ts";
import { variantName } from "./looks.ts";
import { epochsOf, meanAt, type Measure } from "./means.ts";

/** Rows of a table. */
const MAX_ROWS = 100;
/** Tables at most. */
const MAX_PAIRS = 12;

/** A variant with its position. */
interface Placed {
  readonly variant: ComparedVariant;
  readonly index: number;
}

const accuracyOf: Measure = ({ validation }) => validation.accuracy;

/** The history of each pretrained variant beside that from scratch; nothing where there is no such pair. */
export function pretrainedSection({ variants }: Comparison): Section | undefined {
  const placed = variants.map((variant, index) => ({ variant, index }))
    .filter(({ variant }) => epochsOf(variant.runs) > 0);
  const isScratch = ({ variant }: Placed) => variant.config.model.weights === "none";
  const scratches = placed.filter(isScratch);
  const pretrained = placed.filter((own) => !isScratch(own));
  if (scratches.length === 0 || pretrained.length === 0) return undefined;
  const pairs = pretrained.slice(0, MAX_PAIRS).map((own) => ({
    own,
    scratch: scratches.toSorted((a, b) => distance(own, a) - distance(own, b))[0],
  }));
  return {
    id: "pretrained",
    title: "Pretrained and from scratch",
    note:
      "Validation accuracy by epoch, and how far pretrained weights are ahead, in percentage points.",
    body: html`<div class="stack">${pairs.map(({ own, scratch }) => pairCard(own, scratch))}</div>`,
  };
}

/** In how many settings two variants differ. */
function distance({ variant: a }: Placed, { variant: b }: Placed): number {
  return Object.keys(a.differences).filter((key) =>
    JSON.stringify(a.differences[key]) !== JSON.stringify(b.differences[key])
  ).length;
}

function pairCard(own: Placed, scratch: Placed): Html {
  const [first, second] = [own, scratch].map(({ variant }) => variant);
  const epochs = Math.max(epochsOf(first.runs), epochsOf(second.runs));
  const rows = someEpochs(epochs, MAX_ROWS).map((epoch) => {
    const [a, b] = [first, second].map(({ runs }) => meanAt(runs, epoch, accuracyOf));
    return html`
      <tr>
        <th scope="row" class="number">${epoch}</th>
        <td class="number">${formatPercent(a)}</td>
        <td class="number">${formatPercent(b)}</td>
        <td class="number">${points(a - b)}</td>
      </tr>
    `;
  });
  return html`
    <div class="card">
      <p>${describeGain(first, second)}</p>
      <div class="scroll tall" tabindex="0" role="region" aria-label="Accuracy by epoch">
        <table>
          ${tableHead({ number: "Epoch" }, { number: variantName(first.label, own.index) }, {
            number: variantName(second.label, scratch.index),
          }, { number: "Ahead" })}
          <tbody>${rows}</tbody>
        </table>
      </div>
    </div>
  `;
}

function describeGain(own: ComparedVariant, scratch: ComparedVariant): Html {
  const [a, b] = [own, scratch].map((variant) => summarizeVariant(variant).bestAccuracy.mean);
  const passed = Array.from({ length: epochsOf(own.runs) }, (_, index) => index + 1)
    .find((epoch) => meanAt(own.runs, epoch, accuracyOf) > b);
  const names = [own, scratch].map(({ label }) => foreignName(label));
  const known = Number.isFinite(a) && Number.isFinite(b);
  return html`${names[0]} reached ${formatPercent(a)}, ${names[1]} ${formatPercent(b)}${
    known && `: ${points(a - b)} points`
  }. ${
    known && (passed === undefined
      ? html`In no epoch was ${names[0]} above the best of ${names[1]}.`
      : html`${names[0]} was above the best of ${names[1]} after ${groupedCount(passed, "epoch")}.`)
  }`;
}

/** A difference of shares in percentage points, with its sign. */
function points(difference: number): string {
  if (!Number.isFinite(difference)) return "–";
  const text = (100 * Math.abs(difference)).toFixed(1);
  return text === "0.0" ? "0.0" : `${difference < 0 ? "−" : "+"}${text}`;
}

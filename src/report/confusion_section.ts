/**
 * The confusions between classes, as a table with heat.
 *
 * @module
 */
import { tableHead } from "../web/table_head.ts";
import {
  type ConfusionCounts,
  confusionOf,
  denseConfusion,
  supportsOf,
  worstConfusions,
} from "../metrics/confusion.ts";
import type { History } from "../records/history.ts";
import { MAX_CELL_CLASSES } from "../plots/confusion_bitmap.ts";
import { foreignName, type Html, html } from "../web/html.ts";
import type { Section } from "./section.ts";
import { formatPercent, groupThousands } from "../base/format.ts";

/** Up to so many classes each cell has room for its share. */
const ROOMY = 12;
/** Rows of the list of confusions. */
const MAX_PAIRS = 15;
/** Shades of a cell. */
const SHADES = 10;

/** The confusion matrix of the best epoch; nothing while there is none. */
export async function confusionSection({ best }: History): Promise<Section | undefined> {
  const { classes, epoch } = best;
  const confusion = classes && confusionOf(best, classes.length);
  if (!confusion) return undefined;
  const small = classes.length <= MAX_CELL_CLASSES;
  return {
    id: "confusion",
    title: "Confusion matrix",
    note:
      html`Validation images by true class (row) and predicted class (column), as of epoch ${epoch}.
      The share is that of the row. ${
        !small &&
        html`With ${
          groupThousands(classes.length)
        } classes, a cell is a dot; <code>history.json</code> has the counts.`
      }`,
    body: html`<div class="confusion">
      ${small ? matrixCard(classes, confusion) : await bitmapCard(classes, confusion)}
      ${pairsCard(classes, confusion)}
    </div>`,
  };
}

/** The matrix as a picture of bounded size. */
async function bitmapCard(classes: readonly string[], confusion: ConfusionCounts): Promise<Html> {
  const { drawConfusionBitmap } = await import("../plots/confusion_bitmap.ts");
  const { side, png } = await drawConfusionBitmap(confusion);
  const [first, last] = [classes[0], classes[classes.length - 1]];
  return html`<figure class="card"><img class="pixelated" width="${side}" height="${side}"
    src="${`data:image/png;base64,${png.toBase64()}`}"
    alt="Matrix of true classes (from top to bottom) and predicted classes (from left to right)">
    <figcaption class="note">True classes from top to bottom, predicted ones from left to right, from
      ${foreignName(first)} to ${foreignName(last)}. The darker a dot, the larger its share of the
      row.</figcaption></figure>`;
}

function matrixCard(classes: readonly string[], confusion: ConfusionCounts): Html {
  const matrix = denseConfusion(confusion);
  const supports = supportsOf(confusion);
  const roomy = classes.length <= ROOMY;
  const heads = classes.map((name) =>
    html`<th scope="col"><span class="column-name" title="${name}">${foreignName(name)}</span></th>`
  );
  const rows = matrix.map((counts, row) => {
    const total = supports[row];
    return html`<tr><th scope="row" title="${classes[row]}">${foreignName(classes[row])}</th>${
      counts.map((count, column) => cell(count, total, row === column))
    }<td class="number total">${groupThousands(total)}</td></tr>`;
  });
  return html`<div class="card">
    ${!roomy && html`<label class="switch"><input type="checkbox" id="shares"> Show shares</label>`}
    <div class="scroll matrix-scroll" tabindex="0" role="region" aria-label="Matrix of true and predicted classes">
      <table class="${roomy ? "matrix roomy" : "matrix"}">
        <caption class="visually-hidden">True classes in rows, predicted classes in columns</caption>
        <thead><tr><th scope="col" class="corner">true ↓ predicted →</th>${heads}
          <th scope="col" class="number">images</th></tr></thead>
        <tbody>${rows}</tbody>
      </table>
    </div></div>`;
}

function cell(count: number, total: number, right: boolean): Html {
  if (count === 0) return html`<td class="zero">0</td>`;
  // The root spreads the small shares, which are those of the mistakes.
  const shade = Math.max(1, Math.round(Math.sqrt(count / total) * SHADES));
  return html`
    <td
      class="${`${right ? "right" : "wrong"}-${shade}`}"><span class="count">${groupThousands(
        count,
      )}</span> <span class="share">${formatPercent(count / total)}</span></td>
  `;
}

/** The mistakes that are made most often. */
function pairsCard(classes: readonly string[], confusion: ConfusionCounts): Html {
  const { pairs, total } = worstConfusions(confusion, MAX_PAIRS);
  if (pairs.length === 0) {
    return html`
      <div class="card">
        <h3>Most frequent confusions</h3>
        <p class="note">None: every image
            was recognized.</p>
      </div>
    `;
  }
  const rows = pairs.map(({ label, predicted, count, share }) =>
    html`
      <tr>
        <td>${foreignName(classes[label])}</td>
        <td>${foreignName(classes[predicted])}</td>
        <td class="number">${groupThousands(count)}</td>
        <td class="number">${formatPercent(share)}</td>
      </tr>
    `
  );
  const more = total - pairs.length;
  return html`<div class="card"><h3>Most frequent confusions</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="Pairs of confused classes">
    <table>${
    tableHead("true", "taken for", { number: "images" }, { number: "share" })
  }<tbody>${rows}</tbody></table></div>
    ${more > 0 && html`<p class="note">and ${groupThousands(more)} more</p>`}</div>`;
}

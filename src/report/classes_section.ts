/**
 * The scores of each class.
 *
 * @module
 */
import { type ClassScores, macroMean, perClassScores, weightedMean } from "../metrics/per_class.ts";
import { confusionOf } from "../metrics/confusion.ts";
import type { History } from "../records/history.ts";
import { stackedBar } from "../web/bars.ts";
import { foreignName, type Html, html } from "../web/html.ts";
import type { Section } from "./section.ts";
import { formatPercent, groupThousands } from "../base/format.ts";

/** Rows of the table: a page with those of 21,000 classes would be too heavy for a browser. */
const MAX_ROWS = 1000;

/** The classes with the lowest F1, in the order of the labels; those without images last. */
function worst(scores: readonly ClassScores[]): ClassScores[] {
  const place = ({ f1 }: ClassScores) => Number.isFinite(f1) ? f1 : 2;
  const kept = new Set(scores.toSorted((a, b) => place(a) - place(b)).slice(0, MAX_ROWS));
  return scores.filter((each) => kept.has(each));
}

/** Precision, recall and F1 per class at the best epoch; nothing while there is none. */
export function classesSection({ best }: History): Section | undefined {
  const { classes, epoch } = best;
  const confusion = classes && confusionOf(best, classes.length);
  if (!confusion) return undefined;
  const scores = perClassScores(confusion, classes);
  const shown = scores.length <= MAX_ROWS ? scores : worst(scores);
  const total = scores.reduce((sum, { support }) => sum + support, 0);
  return {
    id: "classes",
    title: "Classes",
    note:
      `Validation at epoch ${epoch}. Precision: right among those taken for the class. Recall: recognized ` +
      "among those of the class. F1: the harmonic mean of both. A click on a head sorts." +
      (shown === scores
        ? ""
        : ` Of ${groupThousands(scores.length)} classes, the ${
          groupThousands(MAX_ROWS)
        } with the lowest F1.`),
    body: html`
      <div class="card scroll tall" tabindex="0" role="region" aria-label="Scores by class">
        <table class="wide" data-sortable>
          <thead>
            <tr>
              <th scope="col">Class</th>
              <th scope="col" class="number">Precision</th>
              <th scope="col" class="number">Recall</th>
              <th scope="col" class="number">F1</th>
              <th scope="col" data-fixed
                class="bar-column"><span class="visually-hidden">F1 as a bar</span></th>
              <th scope="col" class="number">Images</th>
              <th scope="col" class="number">Taken for it</th>
            </tr>
          </thead>
          <tbody>${shown.map(row)}</tbody>
          <tfoot>${meanRow("Mean over classes", macroMean(scores), total)}${meanRow(
            "Mean by images",
            weightedMean(scores),
            total,
          )}</tfoot>
        </table>
      </div>
    `,
  };
}

function row({ class: name, precision, recall, f1, support, predicted }: ClassScores): Html {
  return html`<tr><th scope="row">${foreignName(name)}</th>${share(precision)}${share(recall)}${
    share(f1)
  }
    <td class="bar-column">${
    Number.isFinite(f1) &&
    stackedBar([{ label: "F1", value: f1, colour: "train" }], `F1 ${formatPercent(f1)}`, 1)
  }</td>
    <td class="number" data-value="${support}">${groupThousands(support)}</td>
    <td class="number" data-value="${predicted}">${groupThousands(predicted)}</td></tr>`;
}

function share(value: number): Html {
  return html`<td class="number" data-value="${Number.isFinite(value) ? value : ""}">${
    formatPercent(value)
  }</td>`;
}

function meanRow(
  name: string,
  { precision, recall, f1 }: Pick<ClassScores, "precision" | "recall" | "f1">,
  total: number,
): Html {
  return html`<tr><th scope="row">${name}</th>${share(precision)}${share(recall)}${share(f1)}
    <td></td><td class="number">${groupThousands(total)}</td><td></td></tr>`;
}

/**
 * The other files of the run folder.
 *
 * @module
 */
import { html, relativeAddress } from "../web/html.ts";
import { formatBytes } from "../base/format.ts";
import type { RunFiles } from "./run_files.ts";
import type { Section } from "./section.ts";

/** The content of files, by their names. */
const MEANINGS: Record<string, string> = {
  "batch.png": "a training batch as the network gets it",
  "checkpoints/best/": "the weights with the best validation accuracy",
  "checkpoints/last/": "the newest state, to resume from",
  "checkpoints/last-1/": "the state before it",
  "comparison.csv": "all epochs of all runs, for spreadsheets",
  "comparison.json": "the plan and the result",
  "comparison.png": "validation accuracy by epoch, drawn",
  "comparison.svg": "validation accuracy by epoch, drawn",
  "config.yaml": "every setting filled in",
  "curves.png": "loss and accuracy, drawn",
  "curves.svg": "loss and accuracy, drawn",
  "environment.json": "where it ran",
  "events.jsonl": "what happened when",
  "history.csv": "loss and accuracy per epoch, for spreadsheets",
  "history.json": "loss and accuracy per epoch, confusion matrix",
  "losses.csv": "losses against images seen, for spreadsheets",
  "losses.png": "losses against images seen, drawn",
  "losses.svg": "losses against images seen, drawn",
  "metrics.csv": "step times and throughput, for spreadsheets",
  "metrics.jsonl": "step times and throughput, point by point",
  "predictions.csv": "what the best weights make of each validation image",
  "predictions.png": "validation images with predicted and true class",
  "report_pictures.json": "the small pictures of this page",
  "run.log": "what the run said",
};

/** The files with links, which work where the page lies beside them. */
export function filesSection({ files }: Pick<RunFiles, "files">): Section {
  const rows = files.map(({ path, bytes }) =>
    html`
      <tr>
        <th scope="row"><a class="name" href="${relativeAddress(path)}">${path}</a></th>
        <td>${Object.hasOwn(MEANINGS, path) && MEANINGS[path]}</td>
        <td class="number">${bytes !== undefined && formatBytes(bytes)}</td>
      </tr>
    `
  );
  return {
    id: "files",
    title: "Files",
    note: "The links work where this page lies in its folder.",
    body: html`
      <div class="card scroll" tabindex="0" role="region" aria-label="Files">
        <table class="wide">
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col">What it is</th>
              <th scope="col" class="number">Size</th>
            </tr>
          </thead>
          <tbody>${rows}</tbody>
        </table>
      </div>
    `,
  };
}

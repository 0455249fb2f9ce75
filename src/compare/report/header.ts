/**
 * The head of a comparison's report: its state, and the most important figures.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { foreignName, type Html, html, type HtmlValue } from "../../web/html.ts";
import { themeToggle } from "../../web/page.ts";
import { bestVariant, type Comparison, summarizeRun, summarizeVariant } from "../comparison.ts";
import { formatDuration, formatPercent, groupedCount } from "../../base/format.ts";
import { moment } from "../../web/moment.ts";
import { BADGES, tile } from "../../report/header.ts";
import type { RunState } from "../../records/run_turns.ts";
import { resumeCommand } from "../../report/run_status.ts";

/** The state of a comparison by its runs: `running` also after it was killed. */
export function comparisonState({ variants }: Comparison): RunState {
  const states = new Set(variants.flatMap(({ runs }) => runs.map(({ status }) => status)));
  if (states.has("running")) return "running";
  if (states.has("failed")) return "failed";
  return states.has("interrupted") || states.has("waiting") ? "interrupted" : "finished";
}

/** Name, state, and figures. */
export function comparisonHeader(comparison: Comparison, folder: string): Html {
  const { name, created } = comparison;
  const state = comparisonState(comparison);
  const { text, look, sign } = BADGES[state];
  return html`<header class="head">
    <div class="title">
      <h1>${foreignName(name)}</h1>
      <span class="${`badge ${look}`}"><span aria-hidden="true">${sign}</span> ${text}</span>
      <span class="spacer"></span>${themeToggle()}
    </div>
    <p class="note">Comparison ${foreignName(basename(resolve(folder)))}, begun ${
    moment(created)
  }</p>
    <dl class="tiles">${tiles(comparison)}</dl>
    ${callouts(comparison, state, folder)}
  </header>`;
}

function tiles(comparison: Comparison): Html[] {
  const { variants } = comparison;
  const runs = variants.flatMap((variant) => variant.runs);
  const best = bestVariant(comparison);
  const repeats = Math.max(...variants.map((variant) => variant.runs.length));
  const finished = runs.filter(({ status }) => status === "finished").length;
  const epochs = [...new Set(variants.map(({ config }) => config.train.epochs))];
  const seconds = runs.reduce((sum, run) => sum + summarizeRun(run).seconds, 0);
  return [
    tile(
      "Best accuracy",
      best ? formatPercent(summarizeVariant(best).bestAccuracy.mean) : "–",
      best
        ? html`${foreignName(best.label)}${repeats > 1 && ", mean over seeds"}`
        : "no epoch was finished",
    ),
    tile(
      "Variants",
      String(variants.length),
      repeats > 1 && `${groupedCount(repeats, "seed")} each`,
    ),
    tile("Runs", `${finished} / ${runs.length}`, "finished"),
    tile("Epochs", epochs.join(", "), "of each run"),
    tile("Time", formatDuration(seconds), "all epochs of all runs"),
  ];
}

function callouts(comparison: Comparison, state: RunState, folder: string): HtmlValue[] {
  const failed = comparison.variants.flatMap(({ label, runs }) =>
    runs.filter(({ status }) => status === "failed").map((run) => ({ label, ...run }))
  );
  const resume = html`<pre>${resumeCommand(folder, "compare")}</pre>`;
  return [
    failed.length > 0 &&
    html`<div class="callout bad" role="note">
      <p><strong>${groupedCount(failed.length, "run")} failed:</strong></p>
      <ul>${
      failed.map(({ label, seed, message }) =>
        html`<li>${foreignName(label)}, seed ${seed}: <span class="name message">${
          message ?? "for an unknown reason"
        }</span></li>`
      )
    }</ul>
      <p>When the cause is mended, go on with:</p>${resume}</div>`,
    state === "interrupted" &&
    html`<div class="callout warn" role="note"><p><strong>The comparison was interrupted.</strong>
      Go on with:</p>${resume}</div>`,
    state === "running" &&
    html`<div class="callout" role="note"><p><strong>The comparison hadn't ended</strong> when this
      page was written; <code>deno task dashboard</code> shows how it stands now. If it is gone, go on
      with:</p>${resume}</div>`,
  ];
}

/**
 * The dashboard's pages: what stands in them before the scripts fill them.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { moment } from "../web/moment.ts";
import { INCIDENT_COLUMNS, INCIDENTS_TITLE, MEMBER_COLUMNS, tableHead } from "../web/table_head.ts";
import { barLegend, type BarPart } from "../web/bars.ts";
import { chartFigure } from "../web/chart.ts";
import { foreignName, type Html, html } from "../web/html.ts";
import { renderPage, themeToggle } from "../web/page.ts";
import compare from "./client/compare.js" with { type: "text" };
import dashboardStyle from "./client/dashboard.css" with { type: "text" };
import comparison from "./client/comparison.js" with { type: "text" };
import curves from "./client/curves.js" with { type: "text" };
import feed from "./client/feed.js" with { type: "text" };
import run from "./client/run.js" with { type: "text" };
import runs from "./client/runs.js" with { type: "text" };
import { configDifferences } from "./config_differences.ts";
import type { ComparisonDetail, ComparisonSummary } from "./comparison_list.ts";
import type { RunState } from "../records/run_turns.ts";
import type { RunSummary } from "./run_list.ts";

/** Scripts of the pages, by their names in `client/`. */
const SCRIPTS = { feed, run, runs, curves, compare, comparison };
type Script = keyof typeof SCRIPTS;

/** Names and colours of the states; `client/feed.js` has the same. */
const STATES: Record<RunState, { name: string; look: string }> = {
  running: { name: "Running", look: "good" },
  finished: { name: "Finished", look: "" },
  interrupted: { name: "Interrupted", look: "warn" },
  failed: { name: "Failed", look: "bad" },
  lost: { name: "Lost", look: "warn" },
};

const PARTS = [
  { label: "Waiting for images", colour: "data" },
  { label: "Forward and backward", colour: "compute" },
  { label: "Exchange", colour: "exchange" },
  { label: "Waiting for slower ranks", colour: "idle" },
  { label: "Update", colour: "update" },
] satisfies Omit<BarPart, "value">[];

/** The policy that a page made by `renderPage` carries, for the header that says the same. */
export function policyOf(document: string): string {
  const content = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(document)?.[1];
  if (content === undefined) throw new TypeError("The page has no policy");
  return content.replaceAll("&#39;", "'").replaceAll("&amp;", "&");
}

/** Such as ` · 4 workers on 4 × NVIDIA L4`; empty for a run whose devices aren't known yet. */
function placeOf({ workers, devices }: RunSummary): string {
  return workers === null || devices === null
    ? ""
    : ` · ${counted(workers, "worker")} on ${devices}`;
}

/** A run: progress, curves, workers, log and config. */
export function runPage(summary: RunSummary, config: string): string {
  const { id, name, model } = summary;
  const address = `/files/${addressOf(id)}`;
  const [parent, member] = id.split("/");
  return document(
    `${name} · Lockstep`,
    ["feed", "run"],
    { run: summary },
    html`
      ${header(
        html`<a href="/runs">All runs</a>${
          member && html`
            · <a href="${`/comparisons/${addressOf(parent)}`}">Its comparison</a>
          `
        }`,
      )}
      <main id="main">
        <div class="headline">
          <div>
            <h1>${foreignName(name)}</h1>
            <p class="note">${foreignName(model)}${placeOf(
              summary,
            )} · <span class="name">${id}</span></p>
          </div>
          <p class="states"><a class="button" id="report" href="${address}/report.html" hidden>Report</a>
          ${stateBadge(summary.state)}
          <span class="badge warn" id="recovering" role="status" hidden>Recovering</span>
          <span class="badge" id="connection" hidden>Not connected</span></p>
        </div>
        <div class="callout bad" id="message" role="status" hidden></div>
        <section aria-labelledby="progress-title">
          <h2 id="progress-title" class="visually-hidden">Progress</h2>
          <div class="card bars">
          ${progressBar("epoch", "Now")}
          ${progressBar("run", "The whole run")}
        </div>
          <dl class="tiles" id="tiles">${TILES.map(([key, label]) =>
            html`
              <div class="tile">
                <dt>${label}</dt>
                <dd data-tile="${key}">–</dd>
                <dd class="detail" data-detail="${key}"></dd>
              </div>
            `
          )}</dl>
        </section>
        <section aria-labelledby="curves-title" id="curves-section">
          <h2 id="curves-title">Curves</h2>
          <div class="grid wide">
          ${figure("loss", "Loss", "Training and validation loss against the images seen.")}
          ${figure(
            "accuracy",
            "Accuracy",
            "Training and validation accuracy against the images seen.",
          )}
          ${figure("speed", "Speed", "Training images per second, all workers together.")}
          ${figure("rate", "Learning rate", "Learning rate against the images seen.")}
        </div>
        </section>
        <section aria-labelledby="workers-title" id="workers-section">
          <h2 id="workers-title">Workers</h2>
          <div class="grid wide" id="steps">
          <div class="card">
            <h3>Where a step's time goes, by rank</h3>
            ${barLegend(PARTS)}
            <div id="ranks" class="ranks"><p class="note">No steps yet.</p></div>
          </div>
          ${figure(
            "parts",
            "A step over time",
            "Milliseconds of a step's parts, means over the ranks.",
          )}
        </div>
          <div class="card scroll" tabindex="0" role="region" aria-label="Processes" id="processes"
            hidden>
            <table id="workers">
              <caption>Processes, as of their last heartbeat</caption>
              ${tableHead("Process", "Where", "Doing", { number: "Epoch" }, { number: "Step" }, {
                number: "Memory",
              }, { number: "Last sign" })}
              <tbody></tbody>
            </table>
          </div>
          <div class="card scroll" tabindex="0" role="region" aria-label="GPUs" id="gpus-card" hidden>
            <table id="gpus">
              <caption>GPUs of the machine</caption>
              ${tableHead("GPU", { number: "Use" }, { number: "Memory" }, {
                number: "Temperature",
              })}
              <tbody></tbody>
            </table>
          </div>
        </section>
        <section aria-labelledby="incidents-title" id="incidents-section" hidden>
          <h2 id="incidents-title">${INCIDENTS_TITLE}</h2>
          <p class="note" id="incidents-note"></p>
          <div class="card scroll tall" tabindex="0" role="region"
            aria-label="${INCIDENTS_TITLE}">
            <table id="incidents">
              ${tableHead(...INCIDENT_COLUMNS)}
              <tbody></tbody>
            </table>
            <p class="note" id="incidents-more"></p>
          </div>
        </section>
        <section aria-labelledby="epochs-title" id="epochs-section">
          <h2 id="epochs-title">Epochs</h2>
          <div class="card scroll tall" tabindex="0" role="region" aria-label="Epochs">
            <table id="epochs">
              ${tableHead(
                "Epoch",
                { number: "Train loss" },
                { number: "Train accuracy" },
                { number: "Validation loss" },
                { number: "Validation accuracy" },
                { number: "Learning rate" },
                { number: "Images/s" },
                { number: "Time" },
              )}
              <tbody>
                <tr>
                  <td colspan="8">No epoch is done yet.</td>
                </tr>
              </tbody>
            </table>
          </div>
        </section>
        <section aria-labelledby="pictures-title" id="pictures-section">
          <h2 id="pictures-title">Pictures</h2>
          <p class="note" id="no-pictures">None yet.</p>
          <div class="grid pictures">
          ${picture(
            "predictions.png",
            "Validation images with predicted and true class, as of the best epoch",
          )}
          ${picture("batch.png", "The first training batch, augmented and labelled")}
        </div>
        </section>
        <section aria-labelledby="log-title" id="log-section">
          <h2 id="log-title">Log</h2>
          <div class="card">
            <pre id="log" class="log" tabindex="0" role="log" aria-live="off"
              aria-label="The last lines of the log"></pre>
          </div>
        </section>
        <section aria-labelledby="config-title">
          <h2 id="config-title">Config</h2>
          <details class="card">
            <summary>Every setting, defaults filled in</summary>
            <pre class="config" tabindex="0" role="region" aria-label="config.yaml">${config}</pre>
          </details>
        </section>
      </main>
    `,
  );
}

/** All runs of a folder. */
export function runsPage(
  runs: readonly RunSummary[],
  comparisons: readonly ComparisonSummary[],
  folder: string,
): string {
  return document(
    "Runs · Lockstep",
    ["feed", "runs"],
    { "runs-data": runs, "comparisons-data": comparisons },
    html`
      ${header()}
      <main id="main">
        <div class="headline">
          <div>
            <h1>Runs</h1>
            <p class="note">in <span class="name">${folder}</span></p>
          </div>
          <p
            class="states"><a class="button" id="compare" href="/compare" aria-disabled="true">Compare</a></p>
        </div>
        <p class="note" id="hint">Tick two or more runs to compare them.</p>
        <div class="card scroll" tabindex="0" role="region" aria-label="Runs">
          <table id="runs" data-sortable>
            <caption class="visually-hidden">Runs, the newest first</caption>
            <thead>
              <tr>
                <th scope="col" data-fixed><span class="visually-hidden">Compare</span></th>
                <th scope="col">Run</th>
                <th scope="col">State</th>
                <th scope="col">Model</th>
                <th scope="col" class="number">Workers</th>
                <th scope="col" class="number">Epochs</th>
                <th scope="col" class="number">Best accuracy</th>
                <th scope="col" class="number">Time</th>
                <th scope="col">Started</th>
              </tr>
            </thead>
            <tbody></tbody>
          </table>
          <p class="note" id="empty" hidden>No runs yet: start one with <code>deno task train</code>.</p>
        </div>
        <section aria-labelledby="comparisons-title" id="comparisons-section" hidden>
          <h2 id="comparisons-title">Comparisons</h2>
          <div class="card scroll" tabindex="0" role="region" aria-label="Comparisons">
            <table id="comparisons" data-sortable>
              <caption class="visually-hidden">Comparisons, the newest first</caption>
              ${tableHead(
                "Comparison",
                "State",
                { number: "Variants" },
                { number: "Runs finished" },
                { number: "Best accuracy" },
                "Best variant",
                "Started",
              )}
              <tbody></tbody>
            </table>
          </div>
        </section>
      </main>
    `,
  );
}

/** The facts of a run that {@linkcode comparePage} shows. */
export interface ComparedRun {
  readonly summary: RunSummary;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Some runs over each other. */
export function comparePage(runs: readonly ComparedRun[]): string {
  const summaries = runs.map(({ summary }) => summary);
  const differences = configDifferences(runs.map(({ config }) => config));
  const body = runs.length === 0
    ? html`<p>Tick runs in the <a href="/runs">list</a> to compare them.</p>`
    : html`
      <div class="card scroll" tabindex="0" role="region" aria-label="Results">
        <table id="results">
          <caption>Results</caption>
          ${tableHead(
            "Run",
            "State",
            "Model",
            { number: "Workers" },
            { number: "Epochs" },
            { number: "Best accuracy" },
            { number: "Best epoch" },
            { number: "Time" },
          )}
          <tbody></tbody>
        </table>
      </div>
      ${comparedFigures()}
      <section aria-labelledby="differences-title">
        <h2 id="differences-title">Settings that differ</h2>
        <div class="card scroll" tabindex="0" role="region" aria-label="Settings that differ">
          ${differencesTable(summaries.map(({ id }) => id), differences)}
        </div>
      </section>
    `;
  return document(
    "Compare · Lockstep",
    ["feed", "curves", "compare"],
    { runs: summaries },
    html`
      ${header(html`<a href="/runs">All runs</a>`)}
      <main id="main">
      <div class="headline"><h1>Compare</h1>
        <p class="states"><span class="badge" id="connection" hidden>Not connected</span></p></div>
      ${body}
      </main>
    `,
  );
}

/** A comparison: its runs, their curves, and the settings that differ. */
export function comparisonPage(detail: ComparisonDetail): string {
  const { id, name, created, state, labels, differences } = detail;
  return document(
    `${name}, compared · Lockstep`,
    ["feed", "curves", "comparison"],
    { comparison: detail },
    html`
      ${header(html`<a href="/runs">All runs</a>`)}
      <main id="main">
        <div class="headline">
          <div>
            <h1>${foreignName(name)}</h1>
            <p
              class="note">Comparison <span class="name">${id}</span>, begun ${moment(created)}</p>
          </div>
          <p class="states"><a class="button" id="report" href="${`/files/${
            addressOf(id)
          }/report.html`}" hidden>Report</a>
          ${stateBadge(state)}
          <span class="badge" id="connection" hidden>Not connected</span></p>
        </div>
        <div class="card scroll" tabindex="0" role="region" aria-label="Runs">
          <table id="members">
            <caption>Runs</caption>
            ${tableHead(...MEMBER_COLUMNS)}
            <tbody></tbody>
          </table>
        </div>
        <section aria-labelledby="curves-title" id="curves-section" hidden>
          <h2 id="curves-title">Curves</h2>
          <p class="note" id="curves-note" hidden></p>
          ${comparedFigures()}
        </section>
        <section aria-labelledby="differences-title">
          <h2 id="differences-title">Settings that differ</h2>
          <div class="card scroll" tabindex="0" role="region" aria-label="Settings that differ">
            ${differencesTable(labels, differences)}
          </div>
        </section>
      </main>
    `,
  );
}

/** Places for the curves of several runs. */
function comparedFigures(): Html {
  return html`
    <div class="grid wide">
      ${figure(
        "accuracy",
        "Validation accuracy",
        "Validation accuracy of each run against the epochs.",
      )}
      ${figure("loss", "Training loss", "Training loss of each run against the epochs.")}
      ${figure("validation", "Validation loss", "Validation loss of each run against the epochs.")}
      ${figure("speed", "Speed", "Training images per second of each run against the epochs.")}
    </div>
  `;
}

/** The address of a run's id, whose parts a slash separates. */
function addressOf(id: string): string {
  return id.split("/").map(encodeURIComponent).join("/");
}

/** A page for addresses that lead nowhere. */
export function missingPage(path: string): string {
  return document(
    "Not found · Lockstep",
    [],
    {},
    html`
      ${header()}
      <main id="main">
        <h1>There is no such page</h1>
        <p><span class="name">${path}</span> leads nowhere. <a href="/runs">All runs</a></p>
      </main>
    `,
  );
}

const TILES: readonly (readonly [key: string, label: string])[] = [
  ["epoch", "Epoch"],
  ["eta", "Time left"],
  ["speed", "Speed"],
  ["loss", "Training loss"],
  ["validation", "Validation accuracy"],
  ["best", "Best accuracy"],
];

function differencesTable(
  names: readonly string[],
  differences: readonly { key: string; values: readonly string[] }[],
): Html {
  if (differences.length === 0) return html`<p class="note">None: the configs are equal.</p>`;
  return html`
    <table>
      <caption class="visually-hidden">Settings that differ, by run</caption>
      <thead>
        <tr><th scope="col">Setting</th>${names.map((name) =>
          html`<th scope="col">${foreignName(name)}</th>`
        )}</tr>
      </thead>
      <tbody>${differences.map(({ key, values }) =>
        html`<tr><th scope="row"><code>${key}</code></th>${
          values.map((value) => html`<td><code>${value}</code></td>`)
        }</tr>`
      )}</tbody>
    </table>
  `;
}

function figure(id: string, title: string, summary: string): Html {
  return chartFigure({ id, title, summary });
}

function progressBar(id: string, label: string): Html {
  return html`
    <div class="progress">
      <div class="progress-text"><span id="${id}-label">${label}</span>
        <span id="${id}-text" class="note">–</span></div>
      <div class="track" role="progressbar" aria-labelledby="${id}-label" aria-valuemin="0"
        aria-valuemax="100" aria-valuenow="0" id="${id}-progress">
        <div class="fill"></div>
      </div>
    </div>
  `;
}

function picture(name: string, label: string): Html {
  return html`
    <figure class="card" hidden>
      <figcaption class="note">${label}</figcaption>
      <img data-picture="${name}" alt="${label}">
    </figure>
  `;
}

function stateBadge(state: RunState): Html {
  const { name, look } = STATES[state];
  return html`<span class="${`badge ${look}`}" id="state">${name}</span>`;
}

function header(link?: Html): Html {
  return html`
    <header class="top"><a class="brand" href="/runs">Lockstep</a>
      <nav aria-label="Pages">${link}</nav>${themeToggle()}</header>
  `;
}

function document(
  title: string,
  scripts: readonly Script[],
  data: Readonly<Record<string, unknown>>,
  body: Html,
): string {
  return renderPage({
    title,
    body,
    data,
    connect: true,
    styles: [dashboardStyle],
    scripts: scripts.map((name) => SCRIPTS[name]),
  });
}

/**
 * The end of what the run said.
 *
 * @module
 */
import { html } from "../web/html.ts";
import type { RunFiles } from "./run_files.ts";
import type { Section } from "./section.ts";

/** Lines that are shown. */
const MAX_LINES = 200;

/** The last lines of `run.log`; nothing for runs that have none. */
export function logSection({ log }: RunFiles): Section | undefined {
  const lines = log?.trimEnd().split("\n") ?? [];
  if (lines.join("") === "") return undefined;
  const shown = lines.slice(-MAX_LINES);
  return {
    id: "log",
    title: "Log",
    note: lines.length > shown.length &&
      html`The last ${MAX_LINES} lines; <code>run.log</code> has all.`,
    body: html`
      <div class="card scroll tall log" tabindex="0" role="region" aria-label="Lines of the log">
        <pre>${shown.join("\n")}</pre>
      </div>
    `,
  };
}

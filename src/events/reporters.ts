/**
 * The two sides of a {@linkcode Reporter} on the stream of a run: one that speaks into it, one that listens.
 *
 * @module
 */
import type { Reporter } from "./reporter.ts";
import type { RunEvent, RunEvents, RunListener } from "./run_events.ts";

/**
 * Returns a reporter whose calls become events: for parts that know no run, such as a download or a cluster.
 *
 * @param keepsWarnings True when `events.jsonl` keeps what it warns of
 */
export function emittingReporter(
  events: RunEvents,
  { keepsWarnings }: { keepsWarnings: boolean },
): Omit<Reporter, "epochDone" | "summary" | "close"> {
  return {
    info: (line) => events.info(line),
    warn: (message) => events.emit({ type: "warning", message, kept: keepsWarnings }),
    workerLine: (rank, line) => events.emit({ type: "workerLine", rank, line }),
    workerFailed: (rank) => events.emit({ type: "workerFailed", rank }),
    download: (event) => events.emit({ type: "download", event }),
    phase: (phase) => events.emit({ type: "phase", phase }),
    progress: (progress) => events.emit({ type: "progress", progress }),
  };
}

/**
 * Passes events on to a reporter.
 *
 * @param lineOf Words an event that a reporter has no method for, as a line of news
 */
export class ReporterListener implements RunListener {
  readonly name = "The reporter";
  readonly #reporter: Reporter;
  readonly #lineOf: (event: RunEvent) => string | undefined;

  constructor(reporter: Reporter, lineOf: (event: RunEvent) => string | undefined) {
    this.#reporter = reporter;
    this.#lineOf = lineOf;
  }

  hear(event: RunEvent): void {
    const reporter = this.#reporter;
    switch (event.type) {
      case "notice":
        return reporter.info(event.line);
      case "warning":
        return reporter.warn(event.message);
      case "workerLine":
        return reporter.workerLine(event.rank, event.line);
      case "workerFailed":
        return reporter.workerFailed(event.rank);
      case "download":
        return reporter.download(event.event);
      case "phase":
        return reporter.phase(event.phase);
      case "progress":
        return reporter.progress(event.progress);
      case "epoch":
        return reporter.epochDone(event.record, event.epochs, event.best);
      case "summary":
        return reporter.summary(event.summary);
    }
    const line = this.#lineOf(event);
    if (line === undefined) return;
    if (event.type === "workersLost") reporter.warn(line);
    else reporter.info(line);
  }
}

/**
 * A reporter that also passes the warnings on to a further listener.
 *
 * @module
 */
import type { Reporter } from "../events/reporter.ts";

/** Passes everything on to `inner`, and warnings to `onWarning` too. */
export function warningReporter(inner: Reporter, onWarning: (line: string) => void): Reporter {
  return {
    info: (line) => inner.info(line),
    warn: (line) => {
      inner.warn(line);
      onWarning(line);
    },
    workerLine: (rank, line) => inner.workerLine(rank, line),
    workerFailed: (rank) => inner.workerFailed(rank),
    download: (event) => inner.download(event),
    phase: (phase) => inner.phase(phase),
    progress: (progress) => inner.progress(progress),
    epochDone: (record, epochs, best) => inner.epochDone(record, epochs, best),
    summary: (summary) => inner.summary(summary),
    close: () => inner.close(),
  };
}

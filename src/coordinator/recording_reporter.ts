/**
 * A reporter that passes everything on, and keeps what is said in `run.log`.
 *
 * @module
 */
import type { RunLog } from "../records/run_log.ts";
import { epochLine } from "../terminal/lines.ts";
import type { Phase, PhaseProgress, Reporter } from "../events/reporter.ts";

/** A further listener to phases and their progress. */
export interface PhaseListener {
  onPhase(phase: Phase): void;
  onProgress(progress: PhaseProgress): void;
}

/** Wraps the listener of a run. */
export function recordingReporter(
  inner: Reporter,
  log: RunLog,
  listener: PhaseListener,
): Reporter {
  return {
    info: (line) => {
      inner.info(line);
      log.append("info", line);
    },
    warn: (line) => {
      inner.warn(line);
      log.append("warning", line);
    },
    workerLine: (rank, line) => {
      inner.workerLine(rank, line);
      log.append("info", `[rank ${rank}] ${line}`);
    },
    workerFailed: (rank) => inner.workerFailed(rank),
    download: (event) => inner.download(event),
    phase: (phase) => {
      inner.phase(phase);
      listener.onPhase(phase);
    },
    progress: (progress) => {
      inner.progress(progress);
      listener.onProgress(progress);
    },
    epochDone: (record, epochs, best) => {
      inner.epochDone(record, epochs, best);
      log.append("info", epochLine(record, epochs, best));
    },
    summary: (summary) => inner.summary(summary),
    close: () => inner.close(),
  };
}
